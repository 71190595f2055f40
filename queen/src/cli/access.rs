//! `queen token`: over the API, or straight in the data directory, so that the first token can be made before serving.

use super::{
    Failure, Global,
    client::encode,
    exit, report, say, say_json,
    serve::{self, data_dir},
    table,
};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Cell;
use queen::{
    api::{
        tokens::{Minted, TokenRequest, mint},
        view::{NewToken, TokenView},
    },
    store::{self, AccessRole, Store, StoreError},
};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// Flags of `queen token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    what: What,
    /// The queen's data directory, if no queen serves it yet [default: ~/.local/share/skep/queen]
    #[arg(long, global = true, value_name = "DIR", env = "QUEEN_DATA")]
    data: Option<PathBuf>,
    /// The queen's PostgreSQL database, if she has one and none serves it yet
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "QUEEN_DATABASE",
        hide_env_values = true,
        hide_default_value = true
    )]
    database: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token; its value is shown this once
    Add {
        /// What it is for
        name: String,
        /// What it may do
        #[arg(long, env = "QUEEN_ROLE")]
        role: Role,
    },
    /// List tokens, without their values
    List,
    /// Take a token away
    Revoke {
        /// Its id, as the list has it
        id: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Everything
    Admin,
    /// Submit, cancel, rerun and read
    Trigger,
    /// Read
    Read,
    /// Connect as a drone
    Drone,
}

impl From<Role> for AccessRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Trigger => Self::Trigger,
            Role::Read => Self::Read,
            Role::Drone => Self::Drone,
        }
    }
}

/// Makes, lists or revokes tokens.
pub async fn token(global: &Global, args: TokenArgs) -> Result<u8, Failure> {
    match args.what {
        What::Add { name, role } => {
            let token = if global.address().is_some() {
                let role = role.into();
                global.client()?.post("tokens", &TokenRequest { name, role }).await?
            } else {
                let Minted { token, hash, value } = mint(&name, role.into());
                open(args.data, args.database.as_deref())
                    .await?
                    .add_token(&token, hash)
                    .await
                    .map_err(failed)?;
                NewToken {
                    id: token.id,
                    role: token.role,
                    token: value,
                }
            };
            if global.json {
                say_json(&token)?;
            } else {
                say(&token.token);
                super::complain(&format!("token {}: keep the value, it is not shown again", token.id));
            }
        }
        What::List => {
            let tokens: Vec<TokenView> = if global.address().is_some() {
                global.client()?.get("tokens").await?
            } else {
                let tokens = open(args.data, args.database.as_deref())
                    .await?
                    .tokens()
                    .await
                    .map_err(failed)?;
                tokens.into_iter().map(TokenView::of).collect()
            };
            list(global, &tokens)?;
        }
        What::Revoke { id } => {
            let gone = if global.address().is_some() {
                global.client()?.delete(&format!("tokens/{}", encode(&id))).await?;
                true
            } else {
                open(args.data, args.database.as_deref())
                    .await?
                    .remove_token(&id)
                    .await
                    .map_err(failed)?
            };
            if !gone {
                return Err(Failure::new(
                    exit::FAILED,
                    format!("there is no token {id:?}; `queen token list` shows them"),
                ));
            }
            if global.json {
                say_json(&json!({"revoked": id}))?;
            } else {
                say(&format!("token {id} is revoked"));
            }
        }
    }
    Ok(exit::OK)
}

fn list(global: &Global, tokens: &[TokenView]) -> Result<(), Failure> {
    if global.json {
        return say_json(&tokens);
    }
    if tokens.is_empty() {
        say("no tokens");
        return Ok(());
    }
    let rows = tokens.iter().map(|token| {
        let made = jiff::Timestamp::from_millisecond(token.created).unwrap_or_default();
        [
            Cell::new(&token.id),
            Cell::new(format!("{:?}", token.role).to_lowercase()),
            Cell::new(report::plain(&token.name)),
            Cell::new(made.strftime("%Y-%m-%d %H:%M UTC")),
        ]
    });
    say(&table(global.paint(), ["TOKEN", "ROLE", "NAME", "MADE"], rows));
    Ok(())
}

async fn open(data: Option<PathBuf>, database: Option<&str>) -> Result<Arc<dyn Store>, Failure> {
    let (data, address) = (data_dir(data)?, serve::database(database)?);
    store::open(&data, address.as_ref()).await.map_err(|error| {
        let served = match error {
            StoreError::InUse(_) => data.display().to_string(),
            StoreError::Taken(place) => place,
            other => return failed(other),
        };
        let advice = format!("a queen serves {served}: ask it, with --queen URL or QUEEN_URL");
        Failure::new(exit::FAILED, advice)
    })
}

fn failed(error: StoreError) -> Failure {
    Failure::new(exit::FAILED, error)
}
