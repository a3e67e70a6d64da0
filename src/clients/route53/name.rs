//! Names as Route 53 writes them, and which hosted zone a name is in. Pure.

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Such as `Z1D633PJN98FT9`.
    pub id: String,
    /// In small letters, without the point at its end.
    pub name: String,
}

/// The zones that a name could be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ZoneOf {
    /// This one.
    One(Zone),
    /// None.
    None,
    /// Several of the same name: DNS asks one of them, and which one Route 53 does not say.
    Several(Vec<Zone>),
}

/// A name as it is compared: in small letters, without the point at its end, and without escapes (`\052` is `*`).
/// Source: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html>.
#[must_use]
pub fn plain(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text.push_str(rest);
    text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase()
}

/// Whether a name is below another, both plain. A name is not below itself.
pub(super) fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|before| before.ends_with('.') && before.len() > 1)
}

/// The names that a name is below and that are below an apex, the shortest first: where the apex's zone could leave it to other name servers. All plain.
pub(super) fn between<'n>(name: &'n str, apex: &str) -> Vec<&'n str> {
    let parents = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
    let mut all: Vec<&str> = parents.filter(|parent| is_below(parent, apex)).collect();
    all.reverse();
    all
}

/// The zones with the longest name that the name is in.
pub(super) fn zone_of(zones: &[Zone], name: &str) -> ZoneOf {
    let holds = |zone: &&Zone| !zone.name.is_empty() && (zone.name == name || is_below(name, &zone.name));
    let longest = zones.iter().filter(holds).map(|zone| zone.name.len()).max();
    let mut found: Vec<Zone> =
        zones.iter().filter(holds).filter(|zone| Some(zone.name.len()) == longest).cloned().collect();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    match found.len() {
        0 => ZoneOf::None,
        1 => ZoneOf::One(found.remove(0)),
        _ => ZoneOf::Several(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(id: &str, name: &str) -> Zone {
        Zone { id: id.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_name_is_compared_without_its_case_its_escapes_and_its_last_point() {
        for (written, expected) in [
            ("Shop.Example.", "shop.example"),
            ("\\052.shop.example.", "*.shop.example"),
            ("\\137ab.shop.example", "_ab.shop.example"),
            ("a\\", "a\\"),
            ("a\\9z", "a\\9z"),
            ("a\\05", "a\\05"),
            ("\\777", "\\777"),
            ("\\ä12", "\\ä12"),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(plain(written), expected, "{written}");
        }
    }

    #[test]
    fn the_zone_is_the_one_with_the_longest_name_at_the_border_of_a_label() {
        let zones = [
            zone("Z1", "example"),
            zone("Z2", "shop.example"),
            zone("Z3", "op.example"),
            zone("Z4", "in.shop.example"),
            zone("Z0", ""),
        ];
        for (name, expected) in [
            ("_a.shop.example", Some("Z2")),
            ("shop.example", Some("Z2")),
            ("_a.www.shop.example", Some("Z2")),
            ("_a.in.shop.example", Some("Z4")),
            ("_a.main.shop.example", Some("Z2")),
            ("_a.workshop.example", Some("Z1")),
            ("_a.example", Some("Z1")),
            ("_a.other", None),
            ("ample", None),
        ] {
            let found = match zone_of(&zones, name) {
                ZoneOf::One(zone) => Some(zone.id),
                ZoneOf::None => None,
                ZoneOf::Several(zones) => unreachable!("{zones:?}"),
            };
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_name_can_be_delegated_anywhere_below_the_apex_and_above_itself() {
        let (own, deep) = ("_a.shop.example", "_a.www.in.shop.example");
        assert_eq!(between(own, "shop.example"), Vec::<&str>::new());
        assert_eq!(between(deep, "shop.example"), ["in.shop.example", "www.in.shop.example"]);
        assert_eq!(between(deep, "in.shop.example"), ["www.in.shop.example"]);
        assert_eq!(between(deep, "op.example"), Vec::<&str>::new());
        assert_eq!(between("shop.example", "shop.example"), Vec::<&str>::new());
    }

    #[test]
    fn between_two_zones_of_one_name_nobody_guesses() {
        let zones = [zone("Z9", "shop.example"), zone("Z1", "example"), zone("Z2", "shop.example")];
        let both = vec![zone("Z2", "shop.example"), zone("Z9", "shop.example")];
        assert_eq!(zone_of(&zones, "_a.shop.example"), ZoneOf::Several(both));
        assert_eq!(zone_of(&zones, "_a.example"), ZoneOf::One(zone("Z1", "example")));
    }
}
