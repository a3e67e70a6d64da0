//! Kubernetes' quantities: `512Mi`, `100m`, and how the server writes a sum of them.

/// A quantity in its base unit; none when it is no quantity.
pub(super) fn amount(quantity: &str) -> Option<f64> {
    let end = quantity.find(|character: char| !(character.is_ascii_digit() || "+-.".contains(character)));
    let (number, unit) = quantity.split_at(end.unwrap_or(quantity.len()));
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// How the server writes an amount of a resource: bytes with the largest binary unit that leaves a whole number, CPU in thousandths where
/// it is not whole, and anything else as a number.
pub(super) fn written(resource: &str, amount: f64) -> String {
    if resource.ends_with("memory") {
        let units = [("Gi", 1_073_741_824.0), ("Mi", 1_048_576.0), ("Ki", 1024.0)];
        let whole = units.iter().find(|(_, size)| amount >= *size && (amount / size).fract() == 0.0);
        return whole
            .map_or_else(|| format!("{amount:.0}"), |(unit, size)| format!("{:.0}{unit}", amount / size));
    }
    let thousandths = (amount * 1000.0).round();
    if thousandths % 1000.0 == 0.0 {
        format!("{:.0}", thousandths / 1000.0)
    } else {
        format!("{thousandths:.0}m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_written_as_the_server_writes_it() {
        let sum = |resource: &str, texts: &[&str]| {
            written(resource, texts.iter().map(|text| amount(text).unwrap_or(f64::NAN)).sum())
        };
        assert_eq!(sum("requests.memory", &["256Mi", "256Mi"]), "512Mi");
        assert_eq!(sum("limits.memory", &["512Mi", "512Mi"]), "1Gi");
        assert_eq!(sum("requests.cpu", &["100m", "1"]), "1100m");
        assert_eq!(sum("requests.cpu", &["500m", "0.5"]), "1");
        assert_eq!(sum("pods", &["1", "2"]), "3");
        assert_eq!(amount("8Gib"), None);
    }
}
