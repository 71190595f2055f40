//! Servers that go, come back, say nothing, or cannot be used.

use super::{
    Place, error,
    fixture::*,
    output,
    postgres::{Server, shared},
};
use queen::store::{PgStore, Store, StoreError};
use shared::Seq;

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    for round in 1..=3 {
        store.commit(output(round..=round)).await.unwrap();
        place.cut("queen").await;
        assert_eq!(
            store.job(&job_id("j")).await.unwrap().unwrap().last_seq,
            Seq(round),
            "readers notice by themselves"
        );
        let error = store.commit(output(round + 1..=round + 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
        store.ping().await.unwrap();
        assert_eq!(
            store.restore().await.unwrap().jobs[0].last_seq,
            Seq(round),
            "what failed is not there"
        );
    }
}

#[tokio::test]
async fn a_server_that_goes_is_named_and_a_server_that_comes_back_is_used() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let name = server.database().await;
    let store = PgStore::open(dir.path(), &server.url(&name).parse().unwrap())
        .await
        .unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=7)).await.unwrap();
    server.stop();
    assert!(store.commit(output(8..=8)).await.is_err());
    assert!(store.job(&job_id("j")).await.is_err());
    for error in [
        store.commit(output(8..=8)).await.unwrap_err(),
        store.ping().await.unwrap_err(),
        store.restore().await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(
            error.contains(&format!("/{name}?host=")) && error.contains("start PostgreSQL there"),
            "{error}"
        );
    }
    server.start_again();
    store.ping().await.unwrap();
    assert_eq!(store.restore().await.unwrap().jobs[0].last_seq, Seq(7));
    store.commit(output(8..=8)).await.unwrap();
    let all = store.events(&job_id("j"), Seq(1), Seq(99), usize::MAX).await.unwrap();
    assert_eq!(all.len(), 8);
}

#[tokio::test]
async fn what_keeps_a_database_from_being_used_is_said_with_what_to_do() {
    let place = Place::new().await;
    let dir = place.dir.path();
    let server = shared();
    let url = |user: &str, name: &str| server.url_for(user, name);
    place
        .run(&format!(
            "CREATE ROLE ann_{0} LOGIN PASSWORD 'right'; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            place.name
        ))
        .await;
    let ann = format!("ann_{}", place.name);
    let wrong = error(dir, &url(&format!("{ann}:hunter2"), &place.name)).await;
    assert!(
        wrong.contains(&format!("password authentication failed for user \"{ann}\"")),
        "{wrong}"
    );
    assert!(
        wrong.contains("give the right user and password") && !wrong.contains("hunter2"),
        "{wrong}"
    );

    let poor = error(dir, &url(&format!("{ann}:right"), &place.name)).await;
    assert!(poor.contains("permission denied for schema public"), "{poor}");
    assert!(
        poor.contains(&format!(
            "make {ann} the owner: ALTER DATABASE \"{}\" OWNER TO \"{ann}\"",
            place.name
        )),
        "{poor}"
    );

    let missing = error(dir, &url("skep", "nowhere")).await;
    assert!(missing.contains("database \"nowhere\" does not exist"), "{missing}");
    assert!(
        missing.contains("make it with `createdb --owner=skep nowhere`"),
        "{missing}"
    );

    let silent = error(dir, "postgres://skep@localhost/skep?host=/nonexistent").await;
    assert!(
        silent.contains("postgres://skep@localhost:5432/skep?host=/nonexistent cannot be used: nothing listens there"),
        "{silent}"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = error(dir, &format!("postgres://skep:hunter2@127.0.0.1:{port}/skep")).await;
    assert!(
        refused.contains("Connection refused") && refused.contains("start PostgreSQL there"),
        "{refused}"
    );
    assert!(!refused.contains("hunter2"), "{refused}");

    place
        .run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        .await;
    let latin = error(dir, &url("skep", "latin")).await;
    assert!(
        latin.contains("its texts are in LATIN1; make one with `createdb --encoding=UTF8"),
        "{latin}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_for_long() {
    let dir = tempfile::tempdir().unwrap();
    // It takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://skep@{}/skep?sslmode=disable",
        listener.local_addr().unwrap()
    );
    let silent = error(dir.path(), &url).await;
    assert!(
        silent.contains("it does not answer; start PostgreSQL there"),
        "{silent}"
    );
}
