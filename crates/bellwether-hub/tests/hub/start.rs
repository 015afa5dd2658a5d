//! A hub from its start to its end: what is read when, and what is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwether_config::Loaded;
use bellwether_hub::hub::{HubError, Read};
use bellwether_hub::shared::Configured;
use bellwether_hub::{Hub, HubOptions};
use bellwether_store::{Embedded, Options, StateStore as _};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Far above what it takes on a loaded machine.
const FAR: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        place.write(config);
        place
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("bellwether.yaml")
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn write(&self, config: &str) {
        fs::write(self.file(), config).unwrap();
    }

    fn loaded(&self) -> Loaded {
        bellwether_config::load(&self.file()).unwrap().follow()
    }

    async fn start(&self, config: Loaded, read: Read) -> Result<Hub, HubError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = HubOptions {
            workers: None,
            path: Some(self.file()),
            config,
            data_dir: self.data(),
            version: "0.0.0",
            read,
            // A worker that answers nothing: what is asked plays no part here.
            worker: Arc::new(|| Command::new("cat")),
        };
        Hub::start(options, listener).await
    }
}

fn service(name: &str) -> String {
    format!("services: [{{ name: {name}, every: 1h, url: \"http://127.0.0.1:1/\" }}]\n")
}

fn plainly() -> Read {
    Arc::new(|path: &Path| bellwether_config::load(path).map(Loaded::follow))
}

async fn until(hub: &Hub, what: &str, holds: impl Fn(&Configured) -> bool) {
    let begun = Instant::now();
    while !holds(&hub.configured()) {
        assert!(begun.elapsed() < FAR, "it never came to be that {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn watches(name: &str) -> impl Fn(&Configured) -> bool {
    move |configured| configured.config.services[0].name == name
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_it_is_read_is_read_again() {
    let place = Place::new(&service("first"));
    let (file, reads) = (place.file(), AtomicUsize::new(0));
    let read: Read = Arc::new(move |path: &Path| {
        let loaded = bellwether_config::load(path);
        if reads.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::write(&file, service("written-meanwhile")).unwrap();
        }
        loaded
    });
    let hub = place.start(place.loaded(), read).await.unwrap();
    until(&hub, "the file is read again", watches("written-meanwhile")).await;
    assert!(hub.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_before_the_first_look_is_read() {
    let place = Place::new(&service("first"));
    let loaded = place.loaded();
    place.write(&service("second"));
    let hub = place.start(loaded, plainly()).await.unwrap();
    until(&hub, "the file is read again", watches("second")).await;
    assert!(hub.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_named_is_watched() {
    let place = Place::new(&service("shop"));
    let hub = place.start(place.loaded(), plainly()).await.unwrap();
    let hints = place.dir.path().join("hints");
    let with = format!(
        "trust: {{ root_hints: \"{}\" }}\n{}",
        hints.display(),
        service("shop")
    );
    place.write(&with);
    until(&hub, "it is refused", |c| c.refused.is_some()).await;
    fs::write(&hints, ".  1 IN NS a.test.\na.test. 1 IN A 127.0.0.1\n").unwrap();
    until(&hub, "it is in force", |c| {
        c.refused.is_none() && c.generation == 2
    })
    .await;
    fs::write(&hints, ".  1 IN NS b.test.\nb.test. 1 IN A 127.0.0.2\n").unwrap();
    until(&hub, "the other hints are in force", |c| c.generation == 3).await;
    fs::remove_file(&hints).unwrap();
    until(&hub, "missing ones are refused", |c| c.refused.is_some()).await;
    assert!(hub.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_makes_no_token() {
    let place = Place::new(&service("shop"));
    let missing = place.dir.path().join("missing");
    let mut loaded = place.loaded();
    loaded.config.trust.ca_files = vec![missing];
    let failed = place.start(loaded, plainly()).await;
    assert!(matches!(failed, Err(HubError::Settings(_))));
    let store = Embedded::open(&place.data(), Options::new(Timestamp::now())).unwrap();
    assert_eq!(store.tokens().unwrap(), []);
    drop(store);
    let hub = place.start(place.loaded(), plainly()).await.unwrap();
    assert!(hub.first_token().is_some());
    assert!(hub.stop().await);
}
