//! The order of authority, and the words of every error.

use super::*;

fn layer(text: &str) -> Result<Layer, ConfigError> {
    Layer::from_toml(Path::new("drone.toml"), text)
}

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::from_layer(layer(&format!("data = '/d'\n{text}"))?)
}

#[test]
fn the_nearer_source_wins_key_by_key() {
    let file = layer("queen = 'http://a'\ncapacity = 3\nlabels = ['x']").unwrap();
    let flags = Layer {
        queen: Some("b:8080/".into()),
        speed: Some(70),
        ..Layer::default()
    };
    let config = Config::from_layer(flags.over(file)).unwrap();
    assert_eq!(config.queen, "http://b:8080");
    assert_eq!((config.capacity, config.speed), (3, Some(70)));
    assert_eq!(config.labels, ["x"]);
    assert_eq!(config.log_limit, 512 << 20);
    assert_eq!(config.cache_limit, 20 << 30);
    assert!(config.data.is_absolute());
}

#[test]
fn addresses_of_any_scheme_lead_to_the_drone_socket() {
    for (given, socket) in [
        ("http://h:1", "ws://h:1/api/v1/drone"),
        ("https://h/sub/", "wss://h/sub/api/v1/drone"),
        ("wss://h", "wss://h/api/v1/drone"),
        ("localhost:8080", "ws://localhost:8080/api/v1/drone"),
        ("http://[::1]:1", "ws://[::1]:1/api/v1/drone"),
    ] {
        assert_eq!(config(&format!("queen = '{given}'")).unwrap().socket(), socket);
    }
}

#[test]
fn errors_say_what_to_do() {
    for (text, message) in [
        ("", "no address is given: use --queen URL"),
        ("queen = 'ftp://h'", "use http:// or https://"),
        ("queen = 'http://u:p@h'", "put the token into DRONE_TOKEN"),
        ("queen = 'http://'", "use http://host:port"),
        ("queen = 'h'\ncapacity = 0", "to stop taking work, drain the drone"),
        ("queen = 'h'\nspeed = 0", "leave it out to have it measured"),
        ("queen = 'h'\nlabels = ['a,b']", "without commas"),
        ("queen = 'h'\nname = ''", "use 1 to 100 characters"),
        ("queen = 'h'\nlog_limit = '5X'", "write bytes, or 64K, 512M, 2G"),
        (
            "capcity = 1",
            "drone.toml: unknown key \"capcity\"; did you mean \"capacity\"?",
        ),
        ("capacity = 'x'", "invalid type"),
    ] {
        let error = config(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    let missing = Layer::from_files(Some(Path::new("/nowhere/drone.toml")), None).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/drone.toml cannot be read"));
}

#[test]
fn the_token_shows_nowhere() {
    let bad = layer("token = 'hunter2'\ncapacity = 'x'").unwrap_err();
    let config = config("queen = 'h'\ntoken = 'hunter2'").unwrap();
    assert_eq!(config.token.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?} {bad} {bad:?}").contains("hunter2"));
    let broken = layer("token = 'hunter2\n").unwrap_err().to_string();
    assert!(!broken.contains("hunter2"), "{broken}");
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("7", 7),
        ("1K", 1024),
        ("512M", 512 << 20),
        ("2GiB", 2 << 30),
        ("3 mb", 3 << 20),
    ] {
        assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
    }
    assert!("-1".parse::<Size>().is_err() && "M".parse::<Size>().is_err());
    assert!("99999999999G".parse::<Size>().is_err());
}
