//! Which roots a client trusts here: Mozilla's, the host's, and those given.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::job::Job;
use bellwether_pki::Anchors;

thread_local! {
    /// The anchors of the last job. A worker has one job and one thread.
    static CACHED: RefCell<Option<(Vec<String>, Rc<Anchors>)>> = const { RefCell::new(None) };
}

/// Mozilla's roots, the host's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and the
/// job's own. Read once.
#[must_use]
pub fn anchors(job: &Job) -> Rc<Anchors> {
    CACHED.with_borrow_mut(|cached| {
        if let Some((extra, anchors)) = cached
            && *extra == job.extra_roots
        {
            return anchors.clone();
        }
        let anchors = Rc::new(load(job));
        *cached = Some((job.extra_roots.clone(), anchors.clone()));
        anchors
    })
}

fn load(job: &Job) -> Anchors {
    let mut anchors = Anchors::mozilla();
    // What cannot be read of the host's store is not trusted; a host without one is no fault.
    for cert in rustls_native_certs::load_native_certs().certs {
        let _ = anchors.add(&cert);
    }
    for text in &job.extra_roots {
        // The command line has read these files already and refused what is no certificate.
        if let Ok(der) = STANDARD.decode(text) {
            let _ = anchors.add(&der);
        }
    }
    anchors
}
