//! `queen serve`: settings to [`Config`], signals to an orderly end.

use super::{Failure, complain, exit, interrupt::Interrupts, keep::KeepArgs, logging::LogFormat, say};
use clap::Args;
use queen::{
    app::App,
    config::{Config, DEFAULT_GRACE, DEFAULT_LISTEN},
    store::{Address, StoreError},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

/// Flags of `queen serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "QUEEN_LISTEN", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Where everything durable is kept [default: ~/.local/share/skep/queen]
    #[arg(long, value_name = "DIR", env = "QUEEN_DATA")]
    data: Option<PathBuf>,
    /// A PostgreSQL database, postgres://USER:PASSWORD@HOST:PORT/NAME, instead of a file in the data directory. In the
    /// environment the password is hidden from other users of this machine
    #[arg(
        long,
        value_name = "URL",
        env = "QUEEN_DATABASE",
        hide_env_values = true,
        hide_default_value = true
    )]
    database: Option<String>,
    /// Address under which people reach the queen, for links [default: the address that it listens on]
    #[arg(long, value_name = "URL", env = "QUEEN_PUBLIC_URL")]
    public_url: Option<String>,
    /// How long a drone may be away before its work goes elsewhere
    #[arg(long, value_name = "SECONDS", env = "QUEEN_GRACE", default_value_t = DEFAULT_GRACE.as_secs())]
    grace: u64,
    /// Demand a token on loopback too
    #[arg(long, env = "QUEEN_REQUIRE_TOKEN")]
    require_token: bool,
    #[command(flatten)]
    keep: KeepArgs,
    /// How log lines look
    #[arg(long, value_name = "FORM", env = "QUEEN_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// `$XDG_DATA_HOME/skep`, or `~/.local/share/skep`.
pub fn data_home() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let base = xdg.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")))?;
    Some(base.join("skep"))
}

/// The queen's data directory: the one that was named, or the usual one.
pub fn data_dir(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    named.or_else(|| Some(data_home()?.join("queen"))).ok_or_else(|| {
        Failure::new(
            exit::NOTHING,
            "neither HOME nor --data says where to keep data: give --data DIR",
        )
    })
}

/// The database that was named.
pub fn database(named: Option<&str>) -> Result<Option<Address>, Failure> {
    let address = named.map(str::parse).transpose();
    address.map_err(|error: StoreError| Failure::new(exit::FAILED, error))
}

/// Serves until a signal comes.
pub async fn serve(args: ServeArgs) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let config = Config {
        listen: args.listen,
        data: data_dir(args.data)?,
        database: database(args.database.as_deref())?,
        public_url: args.public_url,
        grace: Duration::from_secs(args.grace),
        require_token: args.require_token,
        keep: args.keep.into(),
        metrics: true,
    };
    let (data, database) = (config.data.clone(), config.database.clone());
    let app = App::start(config)
        .await
        .map_err(|error| Failure::new(exit::FAILED, error))?;
    say(&format!("queen {} listens on {}", env!("CARGO_PKG_VERSION"), app.url()));
    say(&format!("data: {}", data.display()));
    if let Some(database) = database {
        say(&format!("database: {}", database.place()));
    }
    let shutdown = CancellationToken::new();
    let mut serving = std::pin::pin!(app.serve(shutdown.clone()));
    let failed = |error| Failure::new(exit::FAILED, error);
    tokio::select! {
        result = &mut serving => return result.map(|()| exit::OK).map_err(failed),
        () = interrupts.next() => {}
    }
    complain("stopping; once more to leave at once (everything acknowledged is on disk)");
    shutdown.cancel();
    tokio::select! {
        result = &mut serving => result.map(|()| exit::OK).map_err(failed),
        () = interrupts.next() => Ok(interrupts.exit_code()),
    }
}
