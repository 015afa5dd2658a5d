//! The page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether_model::incident::AffectedCheck;
use bellwether_model::{CheckId, VantageId};
use bellwether_store::{Change, StateStore as _};

use crate::client::{Client, now};

#[tokio::test]
async fn the_overview_says_what_stands_where() {
    let client = Client::new();
    let answer = client.get("/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let page = answer.text;
    for words in [
        "1 broken, 0 degraded, 1 unknown, 1 healthy",
        "✗ broken",
        "✓ healthy",
        "? unknown",
        "no result for 10 min",
        "judged 0 s ago",
        "✗ fails",
        "#1 every address of pay.shop.example answers 503",
        "10 min ago",
        "share of attempts that fail </span>100 %",
        "A newer configuration was refused 30 s ago.",
        "bellwether.yaml:3:5: unknown key `ulr`",
        "Nobody is told: ",
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    assert!(page.contains(&format!("/api/v1/evidence/{}", client.evidence)));
    let order = ["/services/pay", "/services/old", "/services/shop"]
        .map(|it| page.find(&format!("href=\"{it}\"")).unwrap());
    assert!(order.is_sorted(), "worst first");
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("<style"));
}

#[tokio::test]
async fn many_services_are_paged_worst_first() {
    let client = Client::new();
    {
        let mut board = client.shared.board.write().unwrap();
        let (pay, shop) = (
            board.services["pay"].clone(),
            board.services["shop"].clone(),
        );
        for n in 0..1_200 {
            let kind = if n == 1_199 { &pay } else { &shop };
            board.services.insert(format!("more-{n:04}"), kind.clone());
        }
    }
    let shown = |page: &str| page.matches("<tr>").count() - 1;
    let first = client.get("/").await.text;
    assert_eq!(shown(&first), 500);
    assert!(first.contains("2 broken, 0 degraded, 1 unknown, 1200 healthy"));
    let (worst, next) = (
        first.find("/services/more-1199"),
        first.find("/services/more-0000"),
    );
    assert!(worst.unwrap() < next.unwrap());
    for words in [
        "Services 1 to 500 of 1203",
        "href=\"/?skip=500\"",
        "the next 500",
    ] {
        assert!(first.contains(words), "{words}");
    }
    let last = client.get("/?skip=1000").await.text;
    assert_eq!(shown(&last), 203);
    assert!(last.contains("Services 1001 to 1203 of 1203") && last.contains("href=\"/?skip=500\""));
    assert!(!last.contains("the next"));
    let none = client.get("/?skip=5000").await.text;
    assert!(none.contains("There are 1203 services") && none.contains("href=\"/?skip=703\""));
    for wrong in ["/?skip=-1", "/?skip=x", "/?skap=1"] {
        let answer = client.get(wrong).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.text.contains("to the overview"), "{wrong}");
    }
}

#[tokio::test]
async fn banners_go_when_their_cause_goes() {
    let client = Client::new();
    client.shared.health.receivers.store(1, Ordering::Relaxed);
    let mut configured = client.shared.configured.load().as_ref().clone();
    configured.refused = None;
    client.shared.configured.store(Arc::new(configured));
    assert!(!client.get("/").await.text.contains("class=\"banner\""));
    client
        .shared
        .health
        .set_trouble(Some("the disk is full".to_owned()));
    assert!(
        client
            .get("/")
            .await
            .text
            .contains("The store is in trouble: </b>the disk is full")
    );
    client.shared.health.ready.store(false, Ordering::Release);
    assert!(client.get("/").await.text.contains("Not ready yet"));
}

#[tokio::test]
async fn an_incident_and_a_service_have_pages() {
    let client = Client::new();
    let page = client.get("/incidents/1").await.text;
    for words in [
        "first failure",
        "pay/api answers 503",
        "Look at the origin.",
        "curl -v https://pay.shop.example/health",
        "seen from `local` only",
        "50 % sure",
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    let page = client.get("/services/pay").await.text;
    for words in [
        "Check api",
        "Check queue",
        "✗ failed",
        "http.status_503",
        "192.0.2.1",
        "9.9.9.9",
        "every 60 s",
        "2 of 2 addresses",
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }
    let shop = client.get("/services/shop").await.text;
    assert!(shop.contains("https://www.shop.example/?key=…"));
    for path in [
        "/incidents/9",
        "/incidents/x",
        "/services/none",
        "/services/%3Cb%3E",
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            !answer.text.contains("<b>`") && answer.text.contains("there is no"),
            "{path}"
        );
    }
    let style = client.get("/style.css").await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn without_services_the_page_says_how_to_begin() {
    let client = Client::of(bellwether_hub::testing::empty(now()), true, now());
    let page = client.get("/").await.text;
    assert!(
        page.contains("bellwether serve -c bellwether.yaml")
            && page.contains("url: https://www.shop.example/")
    );
}

#[tokio::test]
async fn a_page_without_its_store_says_so() {
    let client = Client::new();
    client.memory.set_broken(true);
    assert!(
        client
            .get("/")
            .await
            .text
            .contains("Incidents cannot be read")
    );
    assert!(
        client
            .get("/services/pay")
            .await
            .text
            .contains("Runs cannot be read")
    );
    assert_eq!(client.get("/incidents/1").await.status, 503);
}

/// Texts that strangers may write, for the rows T16, U6 and U7, and P20.
const PAYLOADS: &[&str] = &[
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></style></textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "<!--",
    "]]>",
    "&lt;script&gt;",
    "a\u{0}b\u{1b}[2J\u{7}",
    "a\r\nSet-Cookie: x=1",
    "\u{202e}gnp.exe\u{2066}",
    "a\u{200b}\u{feff}\u{2028}b",
    "`<b>`",
    "\u{fdfd}𒐫",
];

#[tokio::test]
async fn p20_hostile_u7_every_text_is_inert_in_every_place() {
    for payload in PAYLOADS {
        let client = Client::new();
        fill(&client, payload);
        let name = url::form_urlencoded::byte_serialize(payload.as_bytes())
            .collect::<String>()
            .replace('+', "%20");
        for path in [
            "/".to_owned(),
            "/incidents/1".to_owned(),
            format!("/services/{name}"),
        ] {
            let answer = client.get(&path).await;
            assert_eq!(answer.status, 200, "{path} {payload:?}");
            let page = &answer.text;
            assert!(page.contains("payload:"), "it is shown at all: {path}");
            inert(page, payload);
        }
        for path in ["/api/v1/services", "/api/v1/checks", "/api/v1/incidents"] {
            let answer = client.get(path).await;
            assert_eq!(answer.headers["content-type"], "application/json");
            answer.json();
        }
    }
}

/// Puts a text wherever one may stand that we did not write ourselves.
fn fill(client: &Client, payload: &str) {
    let text = format!("payload:{payload}");
    let mut incident = client.memory.incident(1).unwrap().unwrap();
    incident.summary.clone_from(&text);
    incident.remedy.clone_from(&text);
    incident.see = Some(text.clone());
    incident.caveats = vec![text.clone()];
    incident.scope.vantages = vec![text.clone()];
    incident.scope.resolvers = vec![text.clone()];
    incident.scope.name_servers = vec![text.clone()];
    incident.scope.owners = vec![text.clone()];
    incident.timeline[0].text.clone_from(&text);
    incident.checks = vec![AffectedCheck {
        check: format!("{payload}/main"),
        ..incident.checks[0].clone()
    }];
    client
        .memory
        .commit(&[Change::Incident(Box::new(incident))])
        .unwrap();
    let id = CheckId::new(payload, &text);
    let mut board = client.shared.board.write().unwrap();
    let mut service = board.services["pay"].clone();
    service.labels.insert(text.clone(), text.clone());
    service.needs = vec![text.clone()];
    service.why_unknown = Some(text.clone());
    service.checks = vec![id.clone()];
    board.services.insert(payload.to_owned(), service);
    let mut check = board.checks[&CheckId::new("pay", "api")].clone();
    check.target = format!("https://a.example/{text}").into();
    check.summary = text.clone().into();
    check.poisoned = Some(text.clone());
    check.layers[0].summary.clone_from(&text);
    let local = VantageId::new("local");
    let mut run = check.last[&local].clone();
    run.symptom = Some(text.as_str().into());
    run.resolver = Some(text.as_str().into());
    check.last.insert(run);
    board.checks.insert(id, check);
    drop(board);
    let mut configured = client.shared.configured.load().as_ref().clone();
    if let Some(refused) = &mut configured.refused {
        refused.problems = vec![text.clone()];
    }
    client.shared.configured.store(Arc::new(configured));
    client.shared.health.set_trouble(Some(text));
}

/// Holds a page nothing but tags of ours, and no character that moves or hides text?
fn inert(page: &str, payload: &str) {
    const TAGS: &[&str] = &[
        "!DOCTYPE", "html", "head", "meta", "title", "link", "body", "header", "main", "footer",
        "h1", "h2", "p", "a", "b", "br", "code", "div", "span", "dl", "dt", "dd", "ol", "ul", "li",
        "table", "thead", "tbody", "tr", "th", "td", "time", "pre",
    ];
    const ATTRIBUTES: &[&str] = &[
        "lang",
        "charset",
        "name",
        "content",
        "http-equiv",
        "rel",
        "href",
        "class",
        "role",
        "datetime",
        "scope",
        "data-of",
    ];
    for rest in page.split('<').skip(1) {
        let tag = rest.split('>').next().unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '>'])
            .next()
            .unwrap();
        assert!(TAGS.contains(&name), "{payload:?} makes a tag: <{tag}>");
        let mut left = tag.split_once(' ').map_or("", |(_, left)| left);
        if name == "!DOCTYPE" {
            continue;
        }
        while let Some((attribute, value)) = left.split_once("=\"") {
            assert!(
                ATTRIBUTES.contains(&attribute.trim()),
                "{payload:?} makes an attribute: <{tag}>"
            );
            let (value, after) = value.split_once('"').expect("an attribute ends");
            let safe = attribute.trim() != "href" || value.starts_with('/');
            assert!(safe, "{payload:?} leads away: <{tag}>");
            left = after;
        }
        assert!(
            left.trim().is_empty(),
            "{payload:?} leaves a tag open: <{tag}>"
        );
    }
    let moves = |c: char| {
        (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}".contains(c)
    };
    assert!(!page.contains(moves), "{payload:?}");
}

#[tokio::test]
async fn a_large_fleet_makes_no_endless_page() {
    let client = Client::new();
    {
        let mut board = client.shared.board.write().unwrap();
        let service = board.services["shop"].clone();
        for n in 0..20_000 {
            board.services.insert(format!("s{n}"), service.clone());
        }
    }
    let page = client.get("/").await.text;
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    assert!(page.contains("20001 healthy") && page.contains("Services 1 to 500 of 20003"));
    assert!(page.find("/services/pay").unwrap() < page.find("/services/s1").unwrap());
    assert_eq!(
        client.json("/api/v1/services").await["services"]
            .as_array()
            .unwrap()
            .len(),
        1_000
    );
}
