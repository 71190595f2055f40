//! The machine's certificates are read when a connection needs them. One test alone in its program: it changes the
//! environment, and libgit2 is set up once a process.

use drone::source::{self, Fetch};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use shared::job::Repo;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool},
};

/// Answers over TLS that there is nothing.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) {
    while let Ok((tcp, _)) = listener.accept() {
        let connection = ServerConnection::new(Arc::clone(config)).expect("a connection");
        let tls = StreamOwned::new(connection, tcp);
        let mut tls = BufReader::new(tls);
        let mut line = String::new();
        while tls.read_line(&mut line).is_ok_and(|length| length > 2) {
            line.clear();
        }
        // Who does not trust it is gone already.
        let _ = tls
            .get_mut()
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

#[test]
fn a_connection_over_https_knows_the_machines_certificates() {
    let home = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = home.path().join("trusted.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    // SAFETY: the threads of this program are the harness's, which waits, and this one.
    unsafe {
        std::env::set_var("SSL_CERT_FILE", &file);
        source::set_up_alone();
    }
    assert_eq!(std::env::var_os("SSL_CERT_FILE").as_deref(), Some(file.as_os_str()));

    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/repo", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener, &Arc::new(config)));

    let into = home.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let fetch = Fetch {
        repo: serde_json::from_value::<Repo>(serde_json::json!({"url": url})).unwrap(),
        reference: None,
        into,
        mirrors: home.path().join("mirrors"),
    };
    let error = source::fetch(&fetch, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), "unknown-repository", "{error}");
}
