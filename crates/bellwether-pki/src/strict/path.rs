//! Every path from the server's certificate to a trusted one, until one breaks no rule.

use super::cert::Cert;
use super::read::Complaint;
use super::{Question, rules};
use crate::signature::{Check, check};

/// Signature checks for one question. Certificates of one name and different keys ask for as many
/// paths as they have orders.
const CHECKS_MAX: u32 = 200;
/// Most certificates of one path.
const PATH_LEN_MAX: usize = 20;
/// Most other certificates that are looked at.
const OTHERS_MAX: usize = 256;

struct Search<'q, 'a> {
    question: &'q Question<'a>,
    others: &'q [Cert<'a>],
    trusted: &'q [Cert<'a>],
    checks: u32,
    /// What the first whole path broke, else why there is none.
    complaint: Option<Complaint>,
}

pub(super) fn verify(question: &Question<'_>) -> Result<(), Complaint> {
    let leaf = Cert::read(question.leaf)
        .map_err(|complaint| format!("the server's certificate: {complaint}"))?;
    // One that cannot be read is as if it were not there: another path may exist.
    let others: Vec<Cert<'_>> = question
        .others
        .iter()
        .take(OTHERS_MAX)
        .filter_map(|der| Cert::read(der).ok())
        .collect();
    let trusted: Vec<Cert<'_>> = question
        .trusted
        .iter()
        .filter_map(|der| Cert::read(der).ok())
        .collect();
    let mut search = Search {
        question,
        others: &others,
        trusted: &trusted,
        checks: 0,
        complaint: None,
    };
    if search.extend(&mut vec![&leaf]) {
        return Ok(());
    }
    let unreadable = |ders: &[Vec<u8>], what: &str| {
        let complaint = ders.iter().find_map(|der| Cert::read(der).err());
        complaint.map(|complaint| format!("{what}: {complaint}"))
    };
    Err(search
        .complaint
        .take()
        .or_else(|| unreadable(question.trusted, "a trusted certificate"))
        .or_else(|| unreadable(question.others, "another certificate"))
        .unwrap_or_else(|| "no path leads to a trusted certificate".to_owned()))
}

impl<'q, 'a> Search<'q, 'a> {
    /// Is there a good path that begins like this one?
    fn extend(&mut self, path: &mut Vec<&'q Cert<'a>>) -> bool
    where
        'a: 'q,
    {
        let Some(last) = path.last().copied() else {
            return false;
        };
        for root in self.trusted {
            if self.issued(last, root) {
                path.push(root);
                let done = self.judge(path);
                path.pop();
                if done {
                    return true;
                }
            }
        }
        if path.len() + 1 >= PATH_LEN_MAX {
            return false;
        }
        for other in self.others {
            // The same authority twice leads nowhere that once does not (RFC 4158 section 5.2).
            let is_known = |known: &&Cert<'_>| {
                known.der == other.der || known.subject == other.subject && known.spki == other.spki
            };
            if path.iter().any(is_known) || !self.issued(last, other) {
                continue;
            }
            path.push(other);
            let done = self.extend(path);
            path.pop();
            if done {
                return true;
            }
        }
        false
    }

    fn issued(&mut self, subject: &Cert<'_>, issuer: &Cert<'_>) -> bool {
        if issuer.subject != subject.issuer || self.checks >= CHECKS_MAX {
            return false;
        }
        self.checks += 1;
        match check(&subject.signed(), issuer.spki) {
            Check::Good => true,
            Check::Unsupported => {
                let complaint = "a signature or key that clients do not take";
                self.complaint.get_or_insert_with(|| complaint.to_owned());
                false
            }
            Check::Bad => false,
        }
    }

    fn judge(&mut self, path: &[&Cert<'_>]) -> bool {
        let question = self.question;
        match rules::check(path, question.at, question.peer, question.depth_max) {
            Ok(()) => true,
            Err(complaint) => {
                self.complaint.get_or_insert(complaint);
                false
            }
        }
    }
}
