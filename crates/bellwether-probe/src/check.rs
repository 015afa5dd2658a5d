//! Everything that one check asks, at the same time.

use std::rc::Rc;

use bellwether_model::dns::ResolverOrigin;
use bellwether_model::job::Event;
use bellwether_model::observation::AddressSource;
use bellwether_model::target::Host;
use bellwether_model::{DnsName, Origin};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::addresses::Addresses;
use crate::controls;
use crate::cx::Cx;
use crate::owners::Owners;
use crate::resolvers::{self, Asking, Redirects, Working};
use crate::tasks::TaskOwner;
use crate::walk::{Found, FoundSink, Walk};

/// Asks everything of the job and reports each result as it comes. Must run inside a `LocalSet`.
///
/// Dropping the future ends everything that it began.
pub async fn run(cx: &Cx) {
    let owner = TaskOwner::new();
    let tasks = owner.tasks();
    // The command line has read the table before; one that is gone since only lowers confidence.
    let table = cx.job().asn_table.as_deref();
    let owners = Rc::new(
        table
            .and_then(|path| Owners::load(path).ok())
            .unwrap_or_default(),
    );
    let walk = Walk::new(cx, owners.clone(), tasks.clone());
    let working = Working::default();
    {
        let (cx, walk) = (cx.clone(), walk.clone());
        tasks.spawn(async move { controls::run(&cx, &walk).await });
    }
    let is_dialled = cx.job().target.scheme.has_tcp();
    let (sink, found) = mpsc::unbounded_channel();
    let sink = is_dialled.then_some(sink);
    if let (Some(sink), Some(address)) = (&sink, cx.job().connect) {
        typed(sink, address);
    }
    match &cx.job().target.host {
        Host::Address(address) => {
            if let Some(sink) = &sink {
                typed(sink, *address);
            }
        }
        Host::Name(name) => by_name(cx, &owner, &walk, name, sink.as_ref(), &working),
    }
    drop(sink);
    if is_dialled {
        let redirects = Rc::new(Redirects {
            cx: cx.clone(),
            walk: walk.clone(),
            working,
        });
        let all = Addresses::new(cx, tasks.clone(), owners, redirects);
        let name = cx.job().target.name().cloned();
        tasks.spawn(all.collect(found, name, Some(walk)));
    }
    owner.finished().await;
    cx.emit(Event::Done {
        queries: cx.queries(),
    });
}

fn typed(sink: &FoundSink, address: std::net::IpAddr) {
    sink.send(Found {
        address,
        source: AddressSource::Typed,
        origin: Origin::Operator,
        waits: 0,
    })
    .expect("the receiver is dropped later");
}

/// Walk and matrix, which find the addresses of a name.
fn by_name(
    cx: &Cx,
    owner: &TaskOwner,
    walk: &Walk,
    name: &DnsName,
    sink: Option<&FoundSink>,
    working: &Working,
) {
    let rtypes = cx.job().target.rtypes();
    let mut handles = Vec::new();
    let mut system = Vec::new();
    let mut askings = Vec::new();
    for resolver in &cx.job().resolvers {
        let (handle, zone) = oneshot::channel();
        handles.push(handle);
        let is_private = (resolver.origin == ResolverOrigin::System).then(|| {
            let (says, hears) = oneshot::channel();
            system.push(hears);
            says
        });
        askings.push(Asking {
            resolver: resolver.clone(),
            name: name.clone(),
            rtypes: rtypes.clone(),
            sink: sink.cloned(),
            zone,
            working: working.clone(),
            is_private,
        });
    }
    let gate = resolvers::gate(walk, name, system);
    walk.target(name, rtypes, sink.cloned(), handles);
    let cx = cx.clone();
    owner.tasks().spawn(async move {
        let asked = askings
            .into_iter()
            .map(|asking| resolvers::run(&cx, asking, gate.clone()));
        join_all(asked).await;
    });
}
