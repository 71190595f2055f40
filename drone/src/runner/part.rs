//! A part of a file in a command of its own: pytest with a plugin that leaves the rest out.
//!
//! Owns how the plugin is told, and how a part is shown. Warm workers choose by themselves (`drone/runners/pytest.py`); which
//! parts there are is the queen's business.

use crate::process::Command;
use shared::protocol::to_drone::Part;
use std::{fs, io, path::Path};

/// The name of the plugin's module.
const MODULE: &str = "skep_part";
const TEXT: &str = include_str!("../../runners/part.py");
/// Groups that are named where a person looks.
const SHOWN: usize = 3;

/// Makes `command`, which runs pytest on the whole file, run `part` of it. Blocks shortly.
pub(super) fn choose(command: &mut Command, part: &Part, scratch: &Path) -> io::Result<()> {
    let folder = scratch.join("part");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{MODULE}.py")), TEXT)?;
    let folder = folder.display().to_string();
    let path = match command.env.get("PYTHONPATH") {
        Some(more) => format!("{folder}:{more}"),
        None => folder,
    };
    command.env.insert("PYTHONPATH".into(), path);
    command.env.insert("SKEP_PART".into(), serde_json::to_string(part)?);
    command.args.extend(["-p".into(), MODULE.into()]);
    Ok(())
}

/// What a command line does not say of a part: `only TestA, test_b and 7 more`.
#[must_use]
pub fn describe(part: &Part) -> String {
    let first: Vec<&str> = part.groups.iter().take(SHOWN).map(String::as_str).collect();
    let first = first.join(", ");
    let more = match part.groups.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let what = if part.rest { "all but" } else { "only" };
    format!("{what} {first}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_by_its_first_groups() {
        let part = |groups: &[&str], rest| Part {
            file: "t.py".into(),
            groups: groups.iter().map(|name| (*name).to_owned()).collect(),
            rest,
        };
        assert_eq!(describe(&part(&["TestA"], false)), "only TestA");
        assert_eq!(
            describe(&part(&["a", "b", "c", "d", "e"], true)),
            "all but a, b, c and 2 more"
        );
    }
}
