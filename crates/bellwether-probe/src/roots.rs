//! Which roots a client trusts here: Mozilla's, the host's, and those given.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::job::Job;
use bellwether_pki::Anchors;

thread_local! {
    /// The anchors of the last job. A worker has one job, and probes on one thread.
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached::Nothing) };
}

enum Cached {
    Nothing,
    Coming(Vec<String>, JoinHandle<Anchors>),
    Here(Vec<String>, Rc<Anchors>),
}

/// Begins to read the roots, beside everything else: the host's store takes milliseconds, in which
/// the one thread of the probes would time nothing rightly.
pub(crate) fn prepare(job: &Job) {
    let extra = job.extra_roots.clone();
    let thread = std::thread::spawn(move || load(&extra));
    CACHED.replace(Cached::Coming(job.extra_roots.clone(), thread));
}

/// Mozilla's roots, the host's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and the
/// job's own. Read once.
#[must_use]
pub fn anchors(job: &Job) -> Rc<Anchors> {
    let extra = &job.extra_roots;
    let (known, anchors) = match CACHED.replace(Cached::Nothing) {
        Cached::Here(known, anchors) if known == *extra => (known, anchors),
        Cached::Coming(known, thread) if known == *extra => match thread.join() {
            Ok(anchors) => (known, Rc::new(anchors)),
            Err(_) => (known, Rc::new(load(extra))),
        },
        Cached::Nothing | Cached::Coming(..) | Cached::Here(..) => {
            (extra.clone(), Rc::new(load(extra)))
        }
    };
    CACHED.replace(Cached::Here(known, anchors.clone()));
    anchors
}

/// Is this a certificate (DER in base64) that can be trusted?
///
/// # Errors
/// Why not, in words.
pub fn accepts(text: &str) -> Result<(), String> {
    let der = STANDARD
        .decode(text)
        .map_err(|error| format!("no base64: {error}"))?;
    Anchors::default()
        .add(&der)
        .map_err(|error| error.to_string())
}

/// The certificates of a PEM text, DER in base64, each one of which can be trusted.
///
/// # Errors
/// What is wrong with it, in words, with the cure.
pub fn of_pem(text: &str) -> Result<Vec<String>, String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let Some((body, after)) = after.split_once(END) else {
            return Err(format!("it has a certificate without its `{END}` line"));
        };
        let body: String = body.split_ascii_whitespace().collect();
        if let Err(why) = accepts(&body) {
            let number = found.len() + 1;
            return Err(format!(
                "certificate {number} cannot be trusted: {why}; export it again as PEM"
            ));
        }
        found.push(body);
        rest = after;
    }
    if found.is_empty() {
        return Err(format!(
            "it holds no certificate; PEM with `{BEGIN}` is read here"
        ));
    }
    Ok(found)
}

fn load(extra: &[String]) -> Anchors {
    let mut anchors = Anchors::mozilla();
    // What cannot be read of the host's store is not trusted; a host without one is no fault.
    for cert in rustls_native_certs::load_native_certs().certs {
        let _ = anchors.add(&cert);
    }
    for text in extra {
        // The command line has read these files already and refused what is no certificate.
        if let Ok(der) = STANDARD.decode(text) {
            let _ = anchors.add_given(&der);
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Pki, job, trusting};

    #[test]
    fn what_is_no_certificate_is_not_accepted() {
        for text in ["MIIB", "MIIBAAAA", "!", ""] {
            assert!(accepts(text).is_err(), "{text}");
        }
        for text in &trusting("https://svc.test/", &Pki::new()).extra_roots {
            assert_eq!(accepts(text), Ok(()));
        }
    }

    #[test]
    fn the_jobs_own_roots_count() {
        let plain = anchors(&job("https://svc.test/")).len();
        assert!(plain >= Anchors::mozilla().len());
        let mine = trusting("https://svc.test/", &Pki::new());
        prepare(&mine);
        assert_eq!(anchors(&mine).len(), plain + 1);
        assert_eq!(anchors(&job("https://svc.test/")).len(), plain);
    }
}
