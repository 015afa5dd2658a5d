//! Which incidents that are not resolved each service has.

use bellwether_model::Incident;
use bellwether_model::incident::IncidentState;

use super::{Board, ServiceState};

impl Board {
    /// Puts all incidents that are not resolved to their services.
    pub fn place<'i>(&mut self, open: impl IntoIterator<Item = &'i Incident>) {
        self.placed.clear();
        for service in self.services.values_mut() {
            service.incidents.clear();
        }
        for incident in open {
            self.place_changed(incident);
        }
    }

    /// Puts one that changed to its services, and away from those that it left.
    pub fn place_changed(&mut self, incident: &Incident) {
        let id = incident.id;
        let is_open = incident.state != IncidentState::Resolved;
        let affected = incident.checks.iter().filter(|_| is_open);
        // Those of one service stand together: mostly this is what it was before.
        let mut now: Vec<&str> = affected.map(|one| service_of(&one.check)).collect();
        now.dedup();
        let before = self.placed.get(&id).map_or(&[][..], Vec::as_slice);
        if now.iter().eq(before.iter()) {
            return;
        }
        let now: Vec<String> = now.into_iter().map(str::to_owned).collect();
        for name in self.placed.remove(&id).unwrap_or_default() {
            if let Some(service) = self.services.get_mut(&name) {
                service.incidents.retain(|one| *one != id);
            }
        }
        for name in &now {
            if let Some(service) = self.services.get_mut(name) {
                put(service, id);
            }
        }
        if !now.is_empty() {
            self.placed.insert(id, now);
        }
    }
}

/// The oldest incidents have the lowest numbers, and stand first.
fn put(service: &mut ServiceState, id: u64) {
    if let Err(at) = service.incidents.binary_search(&id) {
        service.incidents.insert(at, id);
    }
}

fn service_of(check: &str) -> &str {
    check.rsplit_once('/').map_or("", |(service, _)| service)
}

#[cfg(test)]
mod tests {
    use bellwether_model::Digest;
    use jiff::Timestamp;

    use super::*;
    use crate::testing;

    fn incident(id: u64, checks: &[&str]) -> Incident {
        let now = Timestamp::UNIX_EPOCH;
        let mut incident = testing::incident(id, now, Digest([0; 32]));
        let affected = incident.checks.remove(0);
        incident.checks.extend(checks.iter().map(|check| {
            let mut affected = affected.clone();
            (*check).clone_into(&mut affected.check);
            affected
        }));
        incident
    }

    fn placed(board: &Board) -> Vec<(&str, &[u64])> {
        let all = board.services.iter();
        all.map(|(name, service)| (name.as_str(), &*service.incidents))
            .collect()
    }

    #[test]
    fn one_that_changes_moves_and_the_others_stay() {
        let hub = testing::filled(Timestamp::UNIX_EPOCH);
        let mut board = hub.shared.board(Board::clone);
        board.place(&[
            incident(7, &["pay/api", "pay/queue", "gone/main"]),
            incident(3, &["pay/api", "old/main"]),
        ]);
        let first: [(&str, &[u64]); 3] = [("old", &[3]), ("pay", &[3, 7]), ("shop", &[])];
        assert_eq!(placed(&board), first);
        board.place_changed(&incident(3, &["shop/main", "pay/api"]));
        let moved: [(&str, &[u64]); 3] = [("old", &[]), ("pay", &[3, 7]), ("shop", &[3])];
        assert_eq!(placed(&board), moved);
        let mut over = incident(3, &["shop/main", "pay/api"]);
        over.state = IncidentState::Resolved;
        board.place_changed(&over);
        let over: [(&str, &[u64]); 3] = [("old", &[]), ("pay", &[7]), ("shop", &[])];
        assert_eq!(placed(&board), over);
    }

    #[test]
    fn a_service_that_comes_later_gets_its_incidents() {
        let hub = testing::filled(Timestamp::UNIX_EPOCH);
        let mut board = hub.shared.board(Board::clone);
        let open = [incident(5, &["new/main"])];
        board.place(&open);
        let service = board.services["old"].clone();
        board.services.insert("new".to_owned(), service);
        board.place(&open);
        assert_eq!(board.services["new"].incidents, [5]);
    }
}
