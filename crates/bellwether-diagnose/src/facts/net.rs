//! Facts about connections to the service's addresses.

use bellwether_model::fact::Subject;
use bellwether_model::http::{HttpResult, Way};
use bellwether_model::net::{Family, TcpResult, TryEnd};
use bellwether_model::tls::{HelloAnswer, HelloKind, TlsResult};
use bellwether_model::{FactKind, Layer};
use serde_json::{Value, json};

use super::{Facts, addresses};
use crate::picture::{AddressView, Attempt, Picture};

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    for view in picture.addresses.values() {
        let subject = Subject::Address(view.address);
        connection(view, &subject, facts);
        redirect(view, &subject, facts);
        if let Some((id, true)) = view.pings.map(|(id, p)| (id, *p)) {
            let value = json!({ "address": view.address.to_string() });
            facts.add(FactKind::PingAnswers, subject.clone(), value, [id]);
        }
        if let Some(owner) = &view.owner {
            let value = json!({ "address": view.address.to_string(), "owner": owner.to_string(), "prefix": owner.prefix });
            facts.add(FactKind::AddressOwner, subject.clone(), value, view.listed);
        }
        unchanged(view, &subject, facts);
        if view.attempt.fails() {
            others(picture, view, &subject, facts);
        }
    }
}

fn connection(view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let Some((id, tcp)) = view.tcp else { return };
    let aimed = tcp.address.to_string();
    if let Some((kind, value)) = of_result(&aimed, &tcp.result) {
        facts.add(kind, subject.clone(), value, [id]);
    }
    if view.is_mixed {
        return;
    }
    let from = unasked(view);
    if !from.is_empty() {
        let value = json!({ "address": aimed });
        facts.add(FactKind::ResetUnasked, subject.clone(), value, from);
    }
}

/// The observations that show how the address resets a connection before anything is said over it.
pub(crate) fn unasked<'v>(view: &AddressView<'v>) -> Vec<&'v str> {
    let at_once = view.tcp.filter(|(_, tcp)| tcp.result == TcpResult::Reset);
    let silent = view.hellos.filter(|(_, hellos)| {
        let is_reset =
            |answer: &HelloAnswer| matches!(answer, HelloAnswer::Closed { reset: true, .. });
        // Where something is answered, or ended in an orderly way, what is reset besides may be one too many.
        let mut all = hellos.hellos.iter();
        let has_silent = hellos.hellos.iter().any(|h| h.hello == HelloKind::Silent);
        let whole = view.tls.map(|(_, tls)| &tls.result);
        has_silent
            && matches!(whole, None | Some(TlsResult::Closed { reset: true, .. }))
            && all.all(|h| is_reset(&h.answer))
    });
    // Over TLS something has been said already.
    let asked = view.http.iter().find(|(_, hop)| {
        let is_reset =
            |result: &HttpResult| matches!(result, HttpResult::Closed { reset: true, .. });
        let mut again = hop.again.iter();
        view.tls.is_none()
            && hop.hop == 0
            && is_reset(&hop.result)
            && again.any(|again| again.way == Way::Silent && is_reset(&again.result))
    });
    let tries = view.tries.filter(|(_, tries)| {
        let of_nothing = TryEnd::Connection {
            result: TcpResult::Reset,
        };
        // One that is reset among those that fail otherwise is no reason of theirs.
        !tries.ends.is_empty() && tries.ends.iter().all(|end| end.end == of_nothing)
    });
    let all = [
        at_once.map(|(id, _)| id),
        tries.map(|(id, _)| id),
        silent.map(|(id, _)| id),
        asked.map(|(id, _)| *id),
    ];
    all.into_iter().flatten().collect()
}

/// The connection to the host that the address redirects to.
fn redirect(view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let Some((id, hop)) = view.http.last().filter(|(_, hop)| hop.hop > 0) else {
        return;
    };
    let Some(result) = &hop.connection else {
        return;
    };
    let aimed = hop.address.to_string();
    if let Some((kind, mut value)) = of_result(&aimed, result) {
        value["url"] = json!(hop.url);
        if *result == TcpResult::Reset {
            let kind = FactKind::ResetUnasked;
            facts.add(kind, subject.clone(), value.clone(), [*id]);
        }
        facts.add(kind, subject.clone(), value, [*id]);
    }
}

/// What the end of a connection attempt says.
pub(super) fn of_result(aimed: &str, result: &TcpResult) -> Option<(FactKind, Value)> {
    let value = json!({ "address": aimed });
    Some(match result {
        TcpResult::Refused => (FactKind::AddressRefused, value),
        TcpResult::Reset => (FactKind::AddressResets, value),
        TcpResult::TimedOut => (FactKind::AddressTimesOut, value),
        TcpResult::Unreachable { error } => (
            FactKind::AddressUnreachable,
            json!({ "address": aimed, "error": error }),
        ),
        TcpResult::Connected | TcpResult::NoRoute | TcpResult::Error { .. } => return None,
    })
}

/// The address is the baseline's, with the same owner.
fn unchanged(view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let Some(before) = view.before else { return };
    let same = match (&before.owner, &view.owner) {
        (Some(a), Some(b)) => a.same_operator(b),
        _ => true,
    };
    if same {
        let value = json!({ "address": view.address.to_string(), "owner": view.owner.as_ref().map(ToString::to_string) });
        facts.add(
            FactKind::AddressUnchanged,
            subject.clone(),
            value,
            view.listed,
        );
    }
}

/// What works beside an address that fails.
fn others(picture: &Picture<'_>, view: &AddressView<'_>, subject: &Subject, facts: &mut Facts) {
    let family = Family::of(view.address);
    let working = |same: bool| -> Vec<&AddressView<'_>> {
        let all = picture.addresses.values();
        all.filter(|v| v.attempt.works() && (Family::of(v.address) == family) == same)
            .collect()
    };
    let same = working(true);
    if !same.is_empty() {
        let value = json!({ "addresses": addresses(same.iter().map(|v| &v.address)) });
        let from = same.iter().filter_map(|v| v.tcp.map(|(id, _)| id));
        facts.add(FactKind::OtherAddressesWork, subject.clone(), value, from);
    }
    let whole_family = picture
        .addresses
        .values()
        .filter(|v| Family::of(v.address) == family)
        .all(|v| matches!(v.attempt, Attempt::Fails(Layer::Net) | Attempt::Unjudged(_)));
    let other = working(false);
    if family == Family::V6 && whole_family && !other.is_empty() {
        let value =
            json!({ "fails": family.name(), "works": addresses(other.iter().map(|v| &v.address)) });
        let from = other.iter().filter_map(|v| v.tcp.map(|(id, _)| id));
        facts.add(FactKind::OtherFamilyWorks, subject.clone(), value, from);
    }
}
