//! Flags of `queen serve` that say how long things are kept: days and bytes as people write them.

use clap::Args;
use queen::config::{
    DAY, DEFAULT_KEEP_DAYS, DEFAULT_KEEP_LEARNED_DAYS, DEFAULT_KEEP_SNAPSHOTS_DAYS, DEFAULT_KEEP_SNAPSHOTS_GB,
    Retention,
};
use std::time::Duration;

/// Units of sizes, the larger ones of each letter first.
const UNITS: [(&str, u64); 9] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
];

/// What goes when it is old, or too much. Nothing of a job that has not ended ever goes.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "What is kept (0 or forever: without a limit)")]
pub struct KeepArgs {
    /// Days that finished jobs are kept, with results and log
    #[arg(long, value_name = "DAYS", env = "QUEEN_KEEP_DAYS", value_parser = days, default_value_t = Days(Some(DEFAULT_KEEP_DAYS)))]
    keep_days: Days,
    /// Days that logs of finished jobs are kept (output and cases), if shorter; results stay as long as the job
    #[arg(long, value_name = "DAYS", env = "QUEEN_KEEP_LOGS_DAYS", value_parser = days, default_value_t = Days(None))]
    keep_logs_days: Days,
    /// Size of finished jobs in the database, like 20GB; beyond it the oldest logs go, then the oldest jobs
    #[arg(long, value_name = "SIZE", env = "QUEEN_KEEP_BYTES", value_parser = size, default_value_t = Size(None))]
    keep_bytes: Size,
    /// Days that work trees handed over by `queen run` are kept after their job
    #[arg(long, value_name = "DAYS", env = "QUEEN_KEEP_SNAPSHOTS_DAYS", value_parser = days, default_value_t = Days(Some(DEFAULT_KEEP_SNAPSHOTS_DAYS)))]
    keep_snapshots_days: Days,
    /// Size of all repositories of the queen; beyond it the oldest work trees go
    #[arg(long, value_name = "SIZE", env = "QUEEN_KEEP_SNAPSHOTS_BYTES", value_parser = size, default_value_t = Size(Some(DEFAULT_KEEP_SNAPSHOTS_GB * 1_000_000_000)))]
    keep_snapshots_bytes: Size,
    /// Days that durations and flakiness of a test file are kept after it last ran
    #[arg(long, value_name = "DAYS", env = "QUEEN_KEEP_LEARNED_DAYS", value_parser = days, default_value_t = Days(Some(DEFAULT_KEEP_LEARNED_DAYS)))]
    keep_learned_days: Days,
}

impl From<KeepArgs> for Retention {
    fn from(args: KeepArgs) -> Self {
        let time = |days: Days| days.0.map(|days| Duration::from_secs(days.saturating_mul(DAY)));
        Self {
            jobs: time(args.keep_days),
            logs: time(args.keep_logs_days),
            bytes: args.keep_bytes.0,
            snapshots: time(args.keep_snapshots_days),
            snapshot_bytes: args.keep_snapshots_bytes.0,
            learned: time(args.keep_learned_days),
        }
    }
}

/// Days; absent: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(Option<u64>);

/// Bytes; absent: as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(Option<u64>);

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("forever"),
            Some(days) => write!(f, "{days}"),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(bytes) = self.0 else {
            return f.write_str("forever");
        };
        let fits = |unit: &(&str, u64)| bytes >= unit.1 && bytes.is_multiple_of(unit.1);
        match UNITS.iter().filter(|unit| fits(unit)).max_by_key(|unit| unit.1) {
            Some((name, unit)) => write!(f, "{}{}", bytes / unit, name.to_uppercase().replace("IB", "iB")),
            None => write!(f, "{bytes}"),
        }
    }
}

fn days(text: &str) -> Result<Days, String> {
    match text.trim() {
        "forever" | "0" => Ok(Days(None)),
        text => text
            .parse()
            .map(|days| Days(Some(days)))
            .map_err(|_| "give whole days, or forever".to_owned()),
    }
}

fn size(text: &str) -> Result<Size, String> {
    let text = text.trim().to_ascii_lowercase();
    if text == "forever" {
        return Ok(Size(None));
    }
    let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
    let (number, unit) = unit.map_or((text.as_str(), 1), |(name, unit)| {
        (&text[..text.len() - name.len()], *unit)
    });
    let bytes = number
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    match bytes {
        Some(0) => Ok(Size(None)),
        Some(bytes) => Ok(Size(Some(bytes))),
        None => Err("give a whole number with a unit, like 500MB, 20GB or 1TiB, or forever".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_days_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("20GB", Some(20_000_000_000)),
            ("1 TiB", Some(1 << 40)),
            ("500mb", Some(500_000_000)),
            ("7", Some(7)),
            ("7B", Some(7)),
            ("0", None),
            ("0GB", None),
            ("forever", None),
        ] {
            assert_eq!(size(text), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "GB", "-1GB", "1.5GB", "20XB", "99999999999TB", "never"] {
            assert!(size(bad).unwrap_err().contains("20GB"), "{bad}");
        }
        assert_eq!(days("90"), Ok(Days(Some(90))));
        assert_eq!(days("0"), days("forever"));
        assert!(days("2 weeks").unwrap_err().contains("whole days"));
    }

    #[test]
    fn defaults_are_shown_as_they_are_written() {
        for (bytes, text) in [(20_000_000_000, "20GB"), (1 << 30, "1GiB"), (7, "7B"), (1_500, "1500B")] {
            assert_eq!(Size(Some(bytes)).to_string(), text);
            assert_eq!(size(text), Ok(Size(Some(bytes))));
        }
        assert_eq!(
            (Size(None).to_string(), Days(None).to_string()),
            ("forever".into(), "forever".into())
        );
        assert_eq!(Days(Some(9)).to_string(), "9");
    }

    #[test]
    fn without_flags_the_defaults_are_the_librarys() {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            keep: KeepArgs,
        }
        let only = <Only as clap::Parser>::try_parse_from(["queen"]).unwrap();
        assert_eq!(Retention::from(only.keep), Retention::default());
    }
}
