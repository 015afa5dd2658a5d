//! A record as a line of a zone file: `OWNER [TTL] [IN] TYPE DATA`.

use super::Span;

/// The parts of a record line, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Owner: `@`, relative, or absolute.
    pub(crate) owner: String,
    /// TTL, seconds.
    pub(crate) ttl: Option<u32>,
    /// Type, upper case.
    pub(crate) rtype: String,
    /// Data, field by field, quotes kept.
    pub(crate) data: Vec<String>,
}

impl Line {
    /// Splits a line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| {
            format!(
                "record `{text}`: {what}; write `OWNER [TTL] TYPE DATA`, for example `www 60 A 192.0.2.1`"
            )
        };
        let mut fields = fields(text).into_iter().peekable();
        let owner = fields.next().ok_or_else(|| bad("nothing there"))?;
        let mut ttl = None;
        let mut rtype = None;
        for field in fields.by_ref() {
            let number = field.parse().ok();
            let span = || field.parse::<Span>().ok().map(Span::ttl);
            if let Some(seconds) = number.or_else(span).filter(|_| ttl.is_none()) {
                ttl = Some(seconds);
            } else if !field.eq_ignore_ascii_case("IN") {
                rtype = Some(field.to_ascii_uppercase());
                break;
            }
        }
        let rtype = rtype.ok_or_else(|| bad("no type"))?;
        if !rtype.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(bad(&format!("`{rtype}` is no type")));
        }
        let data: Vec<String> = fields.collect();
        if data.is_empty() {
            return Err(bad("no data"));
        }
        Ok(Self {
            owner,
            ttl,
            rtype,
            data,
        })
    }

    /// Which fields of the data are domain names.
    pub(crate) fn name_fields(&self) -> &'static [usize] {
        match self.rtype.as_str() {
            "NS" | "CNAME" | "PTR" | "DNAME" | "MB" | "MG" | "MR" => &[0],
            "MX" | "AFSDB" | "KX" | "RT" | "SVCB" | "HTTPS" => &[1],
            "SOA" | "RP" | "MINFO" => &[0, 1],
            "SRV" => &[3],
            "NAPTR" => &[5],
            _ => &[],
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.owner)?;
        if let Some(ttl) = self.ttl {
            write!(f, " {ttl}")?;
        }
        write!(f, " {} {}", self.rtype, self.data.join(" "))
    }
}

/// Fields between white space; quoted text stays whole.
fn fields(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c.is_whitespace() && !quoted {
            if !field.is_empty() {
                all.push(std::mem::take(&mut field));
            }
            continue;
        }
        quoted ^= c == '"';
        field.push(c);
    }
    if !field.is_empty() {
        all.push(field);
    }
    all
}

/// Is a name absolute although its final dot is left out: does it end in a top-level domain of
/// the scenario? `ns1.dns-a.test` in a record means that name, not one below the apex.
pub(crate) fn is_absolute<'a>(name: &str, tlds: impl IntoIterator<Item = &'a str>) -> bool {
    if name.ends_with('.') {
        return true;
    }
    match name.rsplit_once('.') {
        Some((_, last)) => tlds.into_iter().any(|tld| tld.eq_ignore_ascii_case(last)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = |text: &str| Line::parse(text).map(|l| l.to_string()).ok();
        assert_eq!(
            line("www 60 A 192.0.2.1").as_deref(),
            Some("www 60 A 192.0.2.1")
        );
        assert_eq!(
            line("@ 5m IN mx 10 mail").as_deref(),
            Some("@ 300 MX 10 mail")
        );
        assert_eq!(line("x TXT \"a b\" c").as_deref(), Some("x TXT \"a b\" c"));
        for bad in ["", "www", "www 60", "www 60 A", "www 60 61 A"] {
            assert_eq!(line(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_final_dot_may_be_left_out() {
        assert!(is_absolute("ns1.dns-a.test", ["test"]));
        assert!(!is_absolute("web.eu", ["test"]));
        assert!(!is_absolute("test", ["test"]));
        assert!(is_absolute("a.", []));
    }
}
