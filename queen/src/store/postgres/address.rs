//! Where a PostgreSQL database is, and what a failure to reach it means.
//!
//! The address may hold a password, so it is never printed: [`Address::place`] is what people see.

use crate::store::StoreError;
use sqlx::postgres::PgConnectOptions;
use std::{fmt, io, str::FromStr};
use url::Url;

/// Words that may follow the `?` of an address. Others are refused, so that a misspelt one is neither lost nor logged.
const WORDS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The address of a database.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    place: String,
}

impl FromStr for Address {
    type Err = StoreError;

    /// Takes `postgres://user:password@host:port/name?sslmode=…`; every part but the scheme may be left out and then
    /// comes from PostgreSQL's environment (`PGHOST`, `PGPASSWORD`, …, `~/.pgpass`). Connects nowhere.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let url = Url::parse(text).map_err(|error| StoreError::Address(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            let why = format!("{}: is no kind of database that the queen knows", url.scheme());
            return Err(StoreError::Address(why));
        }
        let unknown = |key: &str| !(WORDS.contains(&key) || key.starts_with("options[") && key.ends_with(']'));
        if let Some((key, _)) = url.query_pairs().find(|(key, _)| unknown(key)) {
            return Err(StoreError::Address(format!("{key:?} means nothing in it")));
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| {
            let why = match error {
                sqlx::Error::Configuration(why) => why.to_string(),
                other => other.to_string(),
            };
            StoreError::Address(why)
        })?;
        Ok(Self {
            place: place(&options),
            options,
        })
    }
}

impl Address {
    /// How to connect.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The address without its password, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Says in words why the database cannot be used, and what to do.
    pub fn explain(&self, error: sqlx::Error) -> StoreError {
        let user = self.options.get_username();
        let name = self.options.get_database().unwrap_or(user);
        let (why, advice) = match &error {
            sqlx::Error::Database(told) => match told.code().as_deref() {
                Some("3D000") => (
                    told.message().to_owned(),
                    format!("make it with `createdb --owner={user} {name}`, or give another --database"),
                ),
                Some("28P01" | "28000") => (
                    told.message().to_owned(),
                    "give the right user and password in --database, or the password in PGPASSWORD or ~/.pgpass".into(),
                ),
                Some("42501") => (
                    told.message().to_owned(),
                    format!("make {user} the owner: ALTER DATABASE \"{name}\" OWNER TO \"{user}\""),
                ),
                Some("53300") => (
                    told.message().to_owned(),
                    "a queen needs ten connections: raise max_connections, or end what holds them".into(),
                ),
                Some("25006") => (
                    told.message().to_owned(),
                    "give the address of the server that can be written".into(),
                ),
                _ => return error.into(),
            },
            sqlx::Error::Io(told) => (
                match told.kind() {
                    io::ErrorKind::NotFound => "nothing listens there".into(),
                    _ => told.to_string(),
                },
                "start PostgreSQL there, or give the right address with --database".into(),
            ),
            sqlx::Error::Tls(told) => (
                told.to_string(),
                "?sslmode=… and ?sslrootcert=… in --database say what the queen demands of the server".into(),
            ),
            _ => return error.into(),
        };
        StoreError::Server {
            place: self.place.clone(),
            why,
            advice,
        }
    }
}

fn place(options: &PgConnectOptions) -> String {
    let (user, port) = (options.get_username(), options.get_port());
    let name = options.get_database().unwrap_or(user);
    let socket = |folder: &dyn fmt::Display| format!("postgres://{user}@localhost:{port}/{name}?host={folder}");
    match options.get_socket() {
        Some(folder) => socket(&folder.display()),
        None if options.get_host().starts_with('/') => socket(&options.get_host()),
        None => format!("postgres://{user}@{}:{port}/{name}", options.get_host()),
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_shown_of_an_address_has_no_password() {
        let address: Address = "postgres://ann:hunter2@db.example:6000/skep?sslmode=require"
            .parse()
            .unwrap();
        assert_eq!(address.place(), "postgres://ann@db.example:6000/skep");
        assert_eq!(format!("{address:?}"), "postgres://ann@db.example:6000/skep");
        let socket: Address = "postgresql://ann:hunter2@localhost/skep?host=/run/x&port=7"
            .parse()
            .unwrap();
        assert_eq!(socket.place(), "postgres://ann@localhost:7/skep?host=/run/x");
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused_without_being_shown() {
        let form = "--database takes postgres://USER:PASSWORD@HOST:PORT/NAME";
        for (text, words) in [
            (
                "mysql://ann:hunter2@db/skep",
                "mysql: is no kind of database that the queen knows",
            ),
            ("hunter2", "relative URL without a base"),
            (
                "postgres://ann:hunter2@db/skep?sslmod=hunter2",
                "\"sslmod\" means nothing in it",
            ),
            (
                "postgres://ann:hunter2@db/skep?sslmode=always",
                "unknown value \"always\" for `ssl_mode`",
            ),
            ("postgres://ann:hunter2@db:hunter2/skep", "invalid port number"),
        ] {
            let error = error(text);
            assert!(error.contains(form) && error.contains(words), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
