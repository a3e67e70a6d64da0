//! How much memory the database of a DB instance class has, at the least. Pure.
//!
//! AWS says a class's memory in a table (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Summary.html>) and in no API of RDS. Within a family it
//! follows from the size. Of families that do not stand here it is not known.

const GIB: u64 = 1 << 30;

/// Families whose sizes are named one by one.
const BURSTABLE: [&str; 3] = ["t2", "t3", "t4g"];
/// Families with so many GiB for each virtual CPU.
const BY_CPU: [(u64, &[&str]); 4] = [
    (2, &["c6gd"]),
    (4, &["m5", "m5d", "m6g", "m6gd", "m6i", "m6id", "m6idn", "m6in", "m7g", "m7i", "m8g", "m8gd"]),
    (8, &["r5", "r5b", "r5d", "r6g", "r6gd", "r6i", "r6id", "r6idn", "r6in", "r7g", "r7i", "r8g", "r8gd"]),
    (16, &["x2g"]),
];

/// The memory of a class, in bytes, as its table says it; none of one that is not known.
pub(super) fn memory(class: &str) -> Option<u64> {
    let mut parts = class.strip_prefix("db.")?.split('.');
    let (family, size, None) = (parts.next()?, parts.next()?, parts.next()) else { return None };
    if BURSTABLE.contains(&family) {
        let gib = match size {
            "micro" => 1,
            "small" => 2,
            "medium" => 4,
            "large" => 8,
            "xlarge" => 16,
            "2xlarge" => 32,
            _ => return None,
        };
        return Some(gib * GIB);
    }
    let (each, _) = BY_CPU.iter().find(|(_, families)| families.contains(&family))?;
    let cpus = match size {
        "medium" => 1,
        "large" => 2,
        "xlarge" => 4,
        // `12xlarge`; what stands for more than a number of these, such as `metal`, does not follow.
        size => {
            let times: u64 =
                size.strip_suffix("xlarge")?.parse().ok().filter(|times| (2..=48).contains(times))?;
            times * 4
        }
    };
    Some(cpus * each * GIB)
}

/// What of it the database has at the least. `DBInstanceClassMemory` is somewhat lower than the class's memory, as what the operating system and RDS itself need
/// is subtracted, and how much that is AWS does not say
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ParamValuesRef.html#USER_FormulaVariables>). A tenth and 300 MiB are taken off here: an assumption, on the safe
/// side. Who needs the true number puts a number into a parameter group of their own.
pub(super) const fn left_for_the_database(memory: u64) -> u64 {
    (memory - memory / 10).saturating_sub(300 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_class_follows_from_its_family_and_its_size() {
        for (class, gib) in [
            ("db.t3.micro", 1),
            ("db.t4g.medium", 4),
            ("db.t4g.2xlarge", 32),
            ("db.m5.large", 8),
            ("db.m6g.4xlarge", 64),
            ("db.r6g.large", 16),
            ("db.r5.24xlarge", 768),
            ("db.x2g.large", 32),
            ("db.c6gd.xlarge", 8),
        ] {
            assert_eq!(memory(class), Some(gib * GIB), "{class}");
        }
        for class in [
            "",
            "db",
            "db.m5",
            "m5.large",
            "db.z9.large",
            "db.m5.metal",
            "db.t3.huge",
            "db.m5.0xlarge",
            "db.m5.xxlarge",
            "db.r5.large.tpc1.mem2x",
            "db.serverless",
            "db.m5.999xlarge",
        ] {
            assert_eq!(memory(class), None, "{class}");
        }
    }

    #[test]
    fn what_is_left_is_clearly_less_than_the_table_says() {
        for (class, nominal, left) in [
            ("db.t3.micro", 112, 68),
            ("db.t4g.medium", 450, 372),
            ("db.m5.large", 901, 778),
            ("db.r5.large", 1802, 1589),
        ] {
            let memory = memory(class).unwrap();
            assert_eq!(memory / 9_531_392, nominal, "{class}");
            assert_eq!(left_for_the_database(memory) / 9_531_392, left, "{class}");
        }
        assert_eq!(left_for_the_database(0), 0);
    }
}
