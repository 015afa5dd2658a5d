//! Names and numbers as they stand in a sentence.

use std::net::IpAddr;

use bellwether_model::Owner;

/// At most this many names or addresses stand in a sentence; the rest is counted.
const LISTED_MAX: usize = 4;

/// At most this many hosts of one domain are drawn together.
const DRAWN_TOGETHER_MAX: usize = 4;

/// `a, b and c`, or `a, b, c, d and 3 more`.
pub fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    match all.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        many if many.len() <= LISTED_MAX => {
            let (last, first) = many.split_last().expect("more than one item");
            format!("{} and {last}", first.join(", "))
        }
        many => format!(
            "{} and {} more",
            many[..LISTED_MAX].join(", "),
            many.len() - LISTED_MAX
        ),
    }
}

/// `1 server`, `3 servers`, `2 addresses`, `61 queries`.
#[must_use]
pub fn count(number: usize, word: &str) -> String {
    if number == 1 {
        return format!("1 {word}");
    }
    match word.strip_suffix('y') {
        Some(stem) => format!("{number} {stem}ies"),
        None if word.ends_with('s') => format!("{number} {word}es"),
        None => format!("{number} {word}s"),
    }
}

/// Hosts, short: `ns65/ns66.provider.example.` for hosts of one domain, `a.example. and b.test.`
/// for two others, `a.example. and 2 more` for many. Of `NAME@ADDRESS` the name is shown.
pub fn hosts<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let name = name.to_string();
        let name = name.split('@').next().unwrap_or_default().to_owned();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let split: Vec<(&str, &str)> = all.iter().filter_map(|n| n.split_once('.')).collect();
    let domain = split.first().map_or("", |(_, domain)| domain);
    let together = split.len() == all.len()
        && (2..=DRAWN_TOGETHER_MAX).contains(&all.len())
        && !domain.is_empty()
        && split.iter().all(|(_, d)| *d == domain);
    if together {
        let labels: Vec<&str> = split.iter().map(|(label, _)| *label).collect();
        return format!("{}.{domain}", labels.join("/"));
    }
    match all.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// Name servers: [`hosts`], and `NAME (ADDRESS)` if it is one at one address.
pub fn servers<T: ToString>(labels: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = labels.into_iter().map(|l| l.to_string()).collect();
    match all.as_slice() {
        [one] => match one.split_once('@') {
            Some((name, address)) => format!("{name} ({address})"),
            None => one.clone(),
        },
        many => hosts(many),
    }
}

/// How many hosts these are: `NAME@ADDRESS` of one name count once.
pub fn number_of_hosts<T: ToString>(labels: impl IntoIterator<Item = T>) -> usize {
    let names: std::collections::BTreeSet<String> = labels
        .into_iter()
        .filter_map(|l| l.to_string().split('@').next().map(str::to_owned))
        .collect();
    names.len()
}

/// Addresses in their order, and whose they are where that is known: `192.0.2.1 (AS64511 A)`.
pub(crate) fn owned<'o>(
    addresses: impl IntoIterator<Item = IpAddr>,
    owner: impl Fn(&IpAddr) -> Option<&'o Owner>,
) -> String {
    let all: Vec<IpAddr> = addresses.into_iter().collect();
    let mut owners: Vec<String> = all
        .iter()
        .filter_map(|a| owner(a).map(ToString::to_string))
        .collect();
    owners.sort();
    owners.dedup();
    let whose = match owners.as_slice() {
        [] => String::new(),
        some => format!(" ({})", list(some)),
    };
    format!("{}{whose}", list(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_words() {
        assert_eq!(count(1, "address"), "1 address");
        assert_eq!(count(2, "address"), "2 addresses");
        assert_eq!(count(0, "query"), "0 queries");
        assert_eq!(count(3, "resolver"), "3 resolvers");
    }

    #[test]
    fn hosts_of_one_domain_are_drawn_together() {
        assert_eq!(hosts(["ns1.a.test.", "ns2.a.test."]), "ns1/ns2.a.test.");
        assert_eq!(
            hosts(["ns1.a.test.@192.0.2.1", "ns1.a.test.@2001:db8::1"]),
            "ns1.a.test."
        );
        assert_eq!(hosts(["ns1.a.test.", "b.test."]), "ns1.a.test. and b.test.");
        assert_eq!(hosts(["a.", "b.", "c."]), "a. and 2 more");
        assert_eq!(
            hosts(["ns1.a.test.", "b.test.", "c.test."]),
            "ns1.a.test. and 2 more"
        );
        assert_eq!(
            servers(["ns1.a.test.@192.0.2.1"]),
            "ns1.a.test. (192.0.2.1)"
        );
    }
}
