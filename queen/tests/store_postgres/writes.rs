//! What lies in the tables after a write: all of a batch or nothing, packed events, odd texts, no secret.

use super::{Place, fixture::*, output, postgres::shared};
use queen::store::{Batch, JobFilter, Store, StoreError};
use scheduler::Record;
use serde_json::json;
use shared::{JobData, JobState, Seq, outcome::FileOutcome};
use sqlx::Row;

#[tokio::test]
async fn a_batch_that_the_database_refuses_is_not_there_and_the_next_one_is() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    place
        .run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'disk is full' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON files FOR EACH ROW WHEN (new.idx = 2) EXECUTE FUNCTION full_disk()",
        )
        .await;
    let mut batch = output(1..=1);
    batch.records = (0..3).map(|index| Record::File(file("j", index, 1))).collect();
    for _ in 0..3 {
        let error = store.commit(batch.clone()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Database(_)) && error.to_string().contains("disk is full"),
            "{error}"
        );
        assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 0);
    }
    place.run("DROP TRIGGER full_disk ON files").await;
    store.commit(batch).await.unwrap();
    assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 3);
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().last_seq, Seq(1));
}

#[tokio::test]
async fn events_are_packed_as_they_grow_and_when_the_job_ends() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let text = "some output of a test\n".repeat(20);
    for round in 0..400 {
        let events = (1..=5).map(|n| event("j", round * 5 + n, &text));
        let batch = Batch {
            events: events.collect(),
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    let rows = async || {
        let mut sql = shared().connect(&place.name).await;
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE packed), coalesce(sum(bytes) FILTER (WHERE NOT packed), 0)::bigint,
                    sum(octet_length(body)) FROM events",
        )
        .fetch_one(&mut sql)
        .await
        .unwrap();
        (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2))
    };
    let all_text = i64::try_from(2_000 * text.len()).unwrap();
    let (packed, open, disk) = rows().await;
    assert!(packed >= all_text / (140 * 1024), "{packed}");
    assert!(open < 128 * 1024 && disk < all_text / 10 + open, "{open} {disk}");
    store
        .commit(records([Record::Job(row("j", JobState::Failed))]))
        .await
        .unwrap();
    assert_eq!(rows().await.1, 0);
    let tail = store
        .events(&job_id("j"), Seq(1_990), Seq(9_999), usize::MAX)
        .await
        .unwrap();
    assert_eq!(tail.len(), 11);
}

#[tokio::test]
async fn texts_that_the_database_could_not_keep_as_they_are_do_no_harm() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    let long = "ü".repeat(4_000);
    let job = json!({
        "job_id": "j", "project": "a/b", "trigger": {
            "type": format!("zero\0{long}"), "timestamp": 5, "message": format!("before\0after {long}"),
            "author": {"name": long, "email": "zero\0@x.org"},
        },
    });
    let data = JobData::parse(&job.to_string()).unwrap();
    store.commit(submit(data.clone(), 1, JobState::Queued)).await.unwrap();
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().data, data);
    let find = async |filter: JobFilter| {
        let filter = JobFilter { limit: 9, ..filter };
        store.jobs(&filter).await.unwrap().jobs.len()
    };
    for text in ["before\0after", "E\0a", "after üü", "ü"] {
        let filter = JobFilter {
            text: Some(text.into()),
            ..JobFilter::default()
        };
        assert_eq!(find(filter).await, 1, "{text:?}");
    }
    for (name, found) in [(long.as_str(), 1), ("zero\0@x.org", 1), ("ü", 0)] {
        let filter = JobFilter {
            author: Some(name.into()),
            ..JobFilter::default()
        };
        assert_eq!(find(filter).await, found);
    }
    let kind = JobFilter {
        trigger: Some(data.trigger.kind.clone()),
        ..JobFilter::default()
    };
    assert_eq!(find(kind).await, 1);

    let mut row = file("j", 0, 1);
    row.path = format!("tests/{long}.py");
    row.num = Some(shared::Num(1));
    let mut batch = results([result("j", &row.path, 1, 50, FileOutcome::Passed)]);
    batch.records = vec![Record::File(row.clone())];
    store.commit(batch).await.unwrap();
    let files = store.files(&job_id("j")).await.unwrap();
    assert_eq!(files[0].row, row);
    assert!(files[0].result.is_some());
    assert!(
        store
            .expectations(&project("a/b"), std::slice::from_ref(&row.path))
            .await
            .unwrap()[0]
            .is_some()
    );
    assert_eq!(store.past_runs(&project("a/b"), &row.path).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_byte_of_a_secret_is_in_any_table() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    let job = json!({
        "job_id": "j", "project": "a/b", "trigger": {"type": "push", "timestamp": 5, "message": "visible-text"},
        "repo": {"url": "https://u:Kq7-password-of-repo@host/r"}, "secrets": {"TOKEN": "Zx3-value-of-token"},
    });
    let data = JobData::parse(&job.to_string()).unwrap();
    store.commit(submit(data.clone(), 1, JobState::Queued)).await.unwrap();
    let mut sql = shared().connect(&place.name).await;
    let dump: String = sqlx::query_scalar("SELECT database_to_xml(true, false, '')::text")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(dump.contains("visible-text"), "the scan finds what is there");
    for secret in ["Kq7", "password-of-repo", "Zx3", "value-of-token"] {
        assert!(!dump.contains(secret), "{secret}");
    }
    assert_eq!(store.job_data(&job_id("j")).await.unwrap(), Some(data));
    sqlx::query("UPDATE job_data SET sealed = '\\x00'")
        .execute(&mut sql)
        .await
        .unwrap();
    let error = store.job_data(&job_id("j")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
