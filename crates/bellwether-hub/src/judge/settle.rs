//! What judging came to is stored, shown and told, in this order.

use std::collections::BTreeMap;

use bellwether_diagnose::incidents::{Notice, Update};
use bellwether_model::Incident;
use bellwether_store::Change;
use jiff::Timestamp;

use super::{Judge, Judged, show};
use crate::shared::Event;

impl Judge {
    /// Stores what changed, shows it, then tells it. What the store does not take is told all the same.
    pub(super) fn settle(&mut self, judged: Judged, now: Timestamp) {
        let Judged {
            updates,
            mut changes,
            shows,
            mut services,
        } = judged;
        // What time alone brings, and what concerns more than the check that it comes of.
        if !updates.is_empty() {
            self.parts.all_changed();
        }
        let has_receivers = !self.shared.configured.load().config.receivers.is_empty();
        let mut newest: BTreeMap<u64, Box<Incident>> = BTreeMap::new();
        for update in updates {
            match update {
                Update::Changed { incident, notices } => {
                    let notices = notices.into_iter().map(outgoing);
                    if has_receivers {
                        changes.extend(notices);
                    } else {
                        // Nobody would take them from the store, where they would lie for ever.
                        notices.for_each(drop);
                    }
                    newest.insert(incident.id, incident);
                }
                // A job reports by itself.
                Update::WantTrace { check, .. } | Update::Follow { check, .. }
                    if check.as_heartbeat().is_some() => {}
                Update::WantTrace { check, vantage } => self.agents.trace(&check, &vantage),
                Update::Follow {
                    check,
                    vantage,
                    every,
                } => self.agents.follow(&check, &vantage, every),
            }
        }
        let has_incidents = !newest.is_empty();
        for incident in newest.values() {
            changes.push(Change::Incident(incident.clone()));
        }
        // What incidents of very many checks remember is written within seconds: what is newer than that
        // is made again from what is stored of themselves.
        if has_incidents && self.parts.is_one() {
            changes.push(self.memory());
        }
        self.is_memory_due |= has_incidents && !self.parts.is_one();
        if !changes.is_empty() {
            self.save(changes);
        }
        if has_incidents || !shows.is_empty() {
            let changed: Vec<&Incident> = newest.values().map(|one| &**one).collect();
            let book = &self.book;
            // All at once, and as soon as the incidents can be read.
            services.extend(self.shared.board_mut(|board| {
                for incident in &changed {
                    board.place_changed(incident);
                }
                show::show(board, book, shows, &changed, now)
            }));
        }
        // What is wrong, and then which services are so by it.
        for incident in newest.into_values() {
            let incident = incident.as_ref().into();
            self.shared.say(Event::Incident { incident });
        }
        for service in services {
            self.tell(&service, now);
        }
    }

    /// Puts the open incidents onto the board.
    pub(super) fn place_incidents(&self) {
        let book = &self.book;
        self.shared.board_mut(|board| board.place(book.open()));
    }

    /// Puts a service's verdict together anew, and says so if what is told of it changed.
    pub(super) fn tell(&mut self, service: &str, now: Timestamp) {
        let told = self.shared.board_mut(|board| {
            board.sum_up(service);
            board.service(service, now)
        });
        let Some(told) = told.map(|told| (told.verdict, told.cause)) else {
            return;
        };
        if self.told.get(service) == Some(&told) {
            return;
        }
        self.told.insert(service.to_owned(), told);
        let (verdict, cause) = told;
        self.shared.say(Event::Service {
            name: service.to_owned(),
            verdict,
            cause: cause.map(|c| c.code().to_owned()),
            at: now,
        });
    }
}

/// A notice for the outbox. The log has it in any case.
fn outgoing(notice: Notice) -> Change {
    tracing::warn!(
        incident = notice.incident,
        kind = notice.kind.name(),
        "{}",
        notice.text
    );
    Change::Notice(bellwether_store::Notice {
        id: 0,
        incident: notice.incident,
        at: notice.at,
        kind: notice.kind.name().to_owned(),
        text: notice.text,
    })
}
