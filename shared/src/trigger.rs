//! Why a job exists: who or what asked for it, when, and from where.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// The reason of a job. Only `manual` is always there; providers and plugins bring others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// `manual`, `push`, `pull_request`, `schedule`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Who caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The commit message, or what the person wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it happened, Unix milliseconds. Required by the contract; RFC 3339 text is taken as well.
    #[serde(deserialize_with = "timestamp::deserialize")]
    pub timestamp: Timestamp,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// By which way it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

impl Trigger {
    /// A person or program asked directly.
    #[must_use]
    pub fn manual(timestamp: Timestamp, source: Source) -> Self {
        Self {
            kind: "manual".into(),
            author: None,
            message: String::new(),
            timestamp,
            url: None,
            source: Some(source),
        }
    }
}

/// A person, as a forge describes one. Every field may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    /// The id in the system that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Profile page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Avatar address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Gravatar hash, where there is no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gravatar: Option<String>,
    /// Login name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// The way by which a trigger came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Source {
    /// A page of the dashboard.
    UI {
        /// Its path.
        page: String,
    },
    /// A program over the API.
    API {
        /// Its name.
        app: String,
    },
    /// A provider or plugin.
    #[serde(rename = "plugin")]
    Plugin {
        /// Its name.
        plugin: String,
    },
}

mod timestamp {
    //! Milliseconds as a number, or RFC 3339 text in UTC as Strider's clients sent it.
    use crate::Timestamp;
    use serde::{Deserialize, Deserializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        match Either::deserialize(input) {
            Ok(Either::Number(ms)) => Ok(Timestamp(ms)),
            Ok(Either::Text(text)) => parse(&text).ok_or_else(|| {
                D::Error::custom(format!(
                    "trigger.timestamp {text:?} is neither Unix milliseconds nor a time like 2026-01-31T12:00:00Z"
                ))
            }),
            Err(_) => Err(D::Error::custom(
                "trigger.timestamp must be Unix milliseconds or a time like 2026-01-31T12:00:00Z",
            )),
        }
    }

    fn parse(text: &str) -> Option<Timestamp> {
        let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
        let (date, time) = text.split_once('T')?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let mut time = time.splitn(3, ':');
        let hour: i64 = time.next()?.parse().ok()?;
        let minute: i64 = time.next()?.parse().ok()?;
        let second: f64 = time.next()?.parse().ok()?;
        let fits = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0.0..61.0).contains(&second);
        if !fits || !(0..=9999).contains(&year) {
            return None;
        }
        // Days from the civil date, counted in years that begin in March.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted - era * 400;
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        #[expect(clippy::cast_possible_truncation, reason = "at most 60,999")]
        let ms = (second * 1000.0) as i64;
        Some(Timestamp(((days * 24 + hour) * 60 + minute) * 60_000 + ms))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn reads_rfc_3339() {
            assert_eq!(parse("1970-01-01T00:00:00Z"), Some(Timestamp(0)));
            assert_eq!(parse("2024-02-29T12:30:15.250Z"), Some(Timestamp(1_709_209_815_250)));
            assert_eq!(parse("yesterday"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources_are_tagged_as_the_contract_says() {
        let source: Source = serde_json::from_value(json!({"type": "API", "app": "cli"})).unwrap();
        assert_eq!(source, Source::API { app: "cli".into() });
        assert_eq!(
            serde_json::to_value(Source::Plugin {
                plugin: "github".into()
            })
            .unwrap(),
            json!({"type": "plugin", "plugin": "github"})
        );
    }

    #[test]
    fn a_trigger_without_a_time_is_refused() {
        let error = serde_json::from_value::<Trigger>(json!({"type": "manual"})).unwrap_err();
        assert!(error.to_string().contains("timestamp"), "{error}");
    }
}
