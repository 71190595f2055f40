//! Who may write: one queen at a time, whatever becomes of locks and connections.

use super::{Place, fixture::*, output, postgres::shared};
use queen::store::{PgStore, Store, StoreError};
use scheduler::Record;
use shared::{JobState, Seq};
use std::fs;

#[tokio::test]
async fn a_second_queen_is_turned_away_until_the_first_has_gone() {
    let place = Place::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let store = place.open().await.unwrap();
    let error = place.open().await.unwrap_err();
    assert!(
        matches!(error, StoreError::InUse(_)),
        "the same data directory: {error}"
    );
    fs::copy(place.dir.path().join("secret.key"), elsewhere.path().join("secret.key")).unwrap();
    let error = place.open_in(elsewhere.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken(_)), "{error}");
    let words = format!(
        "/{}?host={} is in use by another queen: stop it",
        place.name,
        shared().folder().display()
    );
    assert!(error.to_string().contains(&words), "{error}");
    let clone = store.clone();
    drop(store);
    clone.ping().await.unwrap();
    drop(clone);
    place.open_in(elsewhere.path()).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn queens_in_two_schemas_of_one_database_do_not_know_each_other() {
    let place = Place::new().await;
    place.run("CREATE SCHEMA other").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let url = format!("{}&options[search_path]=other", shared().url(&place.name));
    let other = PgStore::open(elsewhere.path(), &url.parse().unwrap()).await.unwrap();
    assert!(other.job(&job_id("j")).await.unwrap().is_none());
    other.commit(new_job("j", "a/b", 1)).await.unwrap();
}

#[tokio::test]
async fn a_queen_whose_database_was_taken_over_writes_nothing_more() {
    let place = Place::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let old = place.open().await.unwrap();
    old.commit(new_job("j", "a/b", 1)).await.unwrap();
    old.commit(output(1..=3)).await.unwrap();
    fs::copy(place.dir.path().join("secret.key"), elsewhere.path().join("secret.key")).unwrap();

    // Her connection is cut, and before she writes again another queen is there.
    place.cut("queen-").await;
    let new = place.open_in(elsewhere.path()).await.unwrap();
    let error = old.commit(output(4..=4)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Database(_)),
        "the connection is dead: {error}"
    );
    for _ in 0..2 {
        let error = old.commit(output(4..=4)).await.unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error}");
    }
    new.commit(output(4..=5)).await.unwrap();
    drop(new);
    for error in [
        old.commit(output(4..=4)).await.unwrap_err(),
        old.ping().await.unwrap_err(),
        old.restore().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Lost(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("was taken over by another queen; this one writes no more"),
            "{error}"
        );
    }
    let all = old.events(&job_id("j"), Seq(1), Seq(9), usize::MAX).await.unwrap();
    assert_eq!(all.len(), 5);
}

#[tokio::test]
async fn every_write_is_fenced_even_where_the_lock_is_lost_and_the_connection_lives() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=1)).await.unwrap();
    let token = queen::store::AccessToken {
        id: "t".into(),
        name: "t".into(),
        role: queen::store::AccessRole::Read,
        created: shared::Timestamp(1),
    };
    store.add_token(&token, [1; 32]).await.unwrap();
    let everything = queen::store::Oldest {
        before: shared::Timestamp(i64::MAX),
        bytes: 0,
    };
    let ended = records([Record::Job(row("j", JobState::Passed))]);
    store.commit(ended.clone()).await.unwrap();
    place.run("UPDATE owner SET name = 'another'").await;
    let now = shared::Timestamp(9);
    for error in [
        store.commit(output(2..=2)).await.unwrap_err(),
        store.commit(output(2..=2)).await.unwrap_err(),
        store.commit(ended).await.unwrap_err(),
        store.commit(new_job("k", "a/b", 1)).await.unwrap_err(),
        store.ping().await.unwrap_err(),
        store.add_token(&token, [2; 32]).await.unwrap_err(),
        store.remove_token("t").await.unwrap_err(),
        store.remove_logs(everything, now).await.unwrap_err(),
        store.remove_jobs(everything, now).await.unwrap_err(),
        store.forget(now).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Lost(_)), "{error}");
    }
    assert_eq!(place.count("SELECT count(*) FROM jobs").await, 1);
    assert_eq!(place.count("SELECT max(last) FROM events").await, 1);
    assert_eq!(place.count("SELECT count(*) FROM tokens").await, 1);
}

#[tokio::test]
async fn a_stream_that_is_remembered_is_fenced_too() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=1)).await.unwrap();
    place.run("UPDATE owner SET name = 'another'").await;
    let error = store.commit(output(2..=2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Lost(_)), "{error}");
    assert_eq!(place.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(place.count("SELECT max(last) FROM events").await, 1);
}
