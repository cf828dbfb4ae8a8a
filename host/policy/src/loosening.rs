//! Which changes of a connection give more than there was. Those are a person's, proved with a factor where one is
//! enrolled; taking away is free.

use kv_model::{Connection, Suggestion};

/// Whether anything could be done with the second that could not be done with the first: a value sent elsewhere, another
/// value sent, an operation done that was not, or done without asking.
pub fn loosens(before: Option<&Connection>, after: &Connection) -> bool {
    let Some(before) = before else { return true };
    // What decides may become stricter; everything else has to be as it was, whatever a difference would mean.
    let same = Connection { accepted: after.accepted.clone(), ..before.clone() } == *after;
    !same
        || after
            .accepted
            .iter()
            .any(|(operation, now)| strictness(Some(*now)) < strictness(before.accepted.get(operation).copied()))
}

fn strictness(suggestion: Option<Suggestion>) -> u8 {
    match suggestion {
        Some(Suggestion::Allow) => 0,
        Some(Suggestion::Ask) => 1,
        Some(Suggestion::Deny) | None => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kv_model::{Origin, SettingName};

    use super::*;
    use crate::tests::{name, question};

    fn connection(accepted: &[(&str, Suggestion)]) -> Connection {
        Connection::clone(&Arc::clone(&question("GET", "/things", "things.list", accepted).connection))
    }

    #[test]
    fn only_what_takes_away_is_free() {
        use Suggestion::{Allow, Ask, Deny};
        let all = [(0, Allow), (1, Ask), (2, Deny)];
        for (strict_before, before) in all {
            for (strict_after, after) in all {
                let (before, after) = (connection(&[("things.list", before)]), connection(&[("things.list", after)]));
                assert_eq!(loosens(Some(&before), &after), strict_after < strict_before);
            }
        }
        let before = connection(&[("things.list", Ask)]);
        assert!(loosens(None, &before));
        assert!(!loosens(Some(&before), &before));
        let gone = Connection { accepted: std::collections::BTreeMap::new(), ..before.clone() };
        assert!(!loosens(Some(&before), &gone));
        assert!(loosens(Some(&gone), &before));
        let mut unknown = before.clone();
        unknown.accepted.insert(name("things.make"), Deny);
        assert!(!loosens(Some(&before), &unknown));
        let elsewhere = Connection { origin: Origin::parse("https://evil.example").unwrap(), ..before.clone() };
        assert!(loosens(Some(&before), &elsewhere));
        let mut set = before.clone();
        set.settings.insert(SettingName::parse("tls").unwrap(), "off".into());
        assert!(loosens(Some(&before), &set));
        assert!(loosens(Some(&before), &Connection { allow_private: true, ..before.clone() }));
    }
}
