//! What a job's commands run with: secrets to hide, variables, PATH, settings, and which commands each phase has.
//!
//! It puts together what the drone, the plugins, `skep.toml` and the job say, in their order of authority, and runs
//! nothing. Read next: [`super`] for the order of phases.

use crate::{
    phase::Planned,
    plugin::{Contribution, PluginError, Plugins, View},
    process::Mask,
};
use shared::{
    JobData,
    protocol::event::Phase,
    settings::{BadSettings, FILE_NAME, Layer, Settings, is_section},
};
use std::{collections::BTreeMap, path::Path};
use tokio_util::sync::CancellationToken;

/// Everything of the job that must not be seen.
pub fn mask(job: &JobData) -> Mask {
    let secrets = job.values().filter(|secret| !secret.is_empty());
    Mask::new(secrets.map(str::to_owned))
}

/// The drone's own part of every command's environment.
#[derive(Debug, Clone)]
pub struct Base {
    /// The drone's PATH.
    pub path: String,
    /// The drone's HOME.
    pub home: String,
    /// The drone's LANG.
    pub lang: String,
}

impl Base {
    /// From the drone's own environment.
    #[must_use]
    pub fn of_this_process() -> Self {
        let var = |name: &str, default: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| default.into())
        };
        Self {
            path: var("PATH", "/usr/local/bin:/usr/bin:/bin"),
            home: var("HOME", "/"),
            lang: var("LANG", "C.UTF-8"),
        }
    }
}

/// What the plugins of a job bring, by plugin, in the job's order.
#[derive(Debug, Default)]
pub struct Contributions(Vec<(String, Contribution)>);

impl Contributions {
    /// Asks every plugin that the job names.
    pub async fn ask(
        plugins: &Plugins,
        job: &JobData,
        workspace: &Path,
        scratch: &Path,
        env: &BTreeMap<String, String>,
        cancel: &CancellationToken,
    ) -> Result<Self, PluginError> {
        let view = View {
            job,
            workspace,
            scratch,
            env,
            cancel,
        };
        let mut all = Vec::new();
        for name in &job.plugins {
            let config = job.config.get(name).cloned().unwrap_or_default();
            let contribution = plugins.get(name)?.contribute(&config, &view).await?;
            all.push((name.clone(), contribution));
        }
        Ok(Self(all))
    }

    /// The plugins' commands of a phase.
    pub fn commands(&self, phase: Phase) -> Vec<Planned> {
        let of = |(name, contribution): &(String, Contribution)| {
            let steps = contribution.commands.get(&phase).cloned().unwrap_or_default();
            let by = name.clone();
            steps.into_iter().map(move |step| Planned {
                by: by.clone(),
                plugin: true,
                step,
            })
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Writes the plugins' files into the workspace. Blocks. The error names the file.
    pub fn write_files(&self, workspace: &Path) -> Result<(), String> {
        let root = workspace.canonicalize().map_err(|error| error.to_string())?;
        for (path, text) in self.0.iter().flat_map(|(_, contribution)| &contribution.files) {
            let fail = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
            let target = root.join(path);
            let folder = target.parent().unwrap_or(&root);
            std::fs::create_dir_all(folder).map_err(fail)?;
            // The source may hold a link that leads out of the workspace.
            if !folder.canonicalize().map_err(fail)?.starts_with(&root) || target.is_symlink() {
                return Err(format!(
                    "{} leads out of the workspace through a link: it is not written",
                    path.display()
                ));
            }
            std::fs::write(&target, text).map_err(fail)?;
        }
        Ok(())
    }
}

/// Keys of the job's config that nobody reads.
pub fn unread_config(job: &JobData) -> Vec<&str> {
    let keys = job.config.keys().map(String::as_str);
    keys.filter(|key| !is_section(key) && !job.plugins.iter().any(|name| name == key))
        .collect()
}

/// Reads `skep.toml`, if the workspace has one, and lays the job's config over it. Blocks.
pub fn settings(workspace: &Path, job: &JobData) -> Result<Settings, BadSettings> {
    let bad = |message: String| BadSettings {
        origin: FILE_NAME.into(),
        message,
    };
    let mut layers = Vec::new();
    match std::fs::read(workspace.join(FILE_NAME)) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8 text".into()))?;
            layers.push(Layer::from_toml(&text)?);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(bad(format!("it cannot be read: {error}"))),
    }
    layers.push(Layer::from_config(&job.config)?);
    let settings = Settings::merge(&layers)?;
    if let Some(root) = &settings.root {
        let folder = workspace.join(root);
        if !folder.is_dir() {
            return Err(bad(format!("root {root:?} is no folder of the repository")));
        }
        let inside = folder
            .canonicalize()
            .and_then(|folder| Ok(folder.starts_with(workspace.canonicalize()?)))
            .map_err(|error| bad(format!("root {root:?} cannot be entered: {error}")))?;
        if !inside {
            return Err(bad(format!("root {root:?} leads out of the repository through a link")));
        }
    }
    Ok(settings)
}

/// The whole environment of the job's commands: the drone's, the job's names, the plugins', the settings', the secrets.
pub fn environment(
    base: &Base,
    job: &JobData,
    named: &[(&str, Option<&str>)],
    contributions: &Contributions,
    settings: Option<&Settings>,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), base.home.clone()),
        ("LANG".to_owned(), base.lang.clone()),
        ("CI".to_owned(), "true".to_owned()),
        ("SKEP_PROJECT".to_owned(), job.project.to_string()),
    ]);
    for (name, value) in named {
        env.insert((*name).to_owned(), value.unwrap_or_default().to_owned());
    }
    let mut path = Vec::new();
    for (_, contribution) in &contributions.0 {
        path.extend(contribution.path.iter().cloned());
        env.extend(contribution.env.clone());
    }
    path.push(base.path.clone());
    // A plugin or the settings may still say PATH in whole; then they mean it.
    env.entry("PATH".to_owned()).or_insert_with(|| path.join(":"));
    if let Some(settings) = settings {
        env.extend(settings.env.clone());
    }
    for (name, secret) in &job.secrets {
        env.insert(name.clone(), secret.expose().to_owned());
    }
    env
}
