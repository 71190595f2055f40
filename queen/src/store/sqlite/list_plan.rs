//! The plans of pages: each filter walks an index in the page's order and stops when the page is full, so that no page
//! grows slower with the number of jobs.

use super::{CANDIDATES, JobFilter, look_query, page_query, walk_query};
use crate::store::{Cursor, SqliteStore};
use shared::{JobId, JobState, Project, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite};

async fn plan(store: &SqliteStore, query: QueryBuilder<Sqlite>) -> String {
    let query = query.into_string();
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
        .fetch_all(&store.0.readers)
        .await
        .unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    steps.join("\n")
}

#[tokio::test]
async fn every_filter_walks_an_index_in_the_order_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let before = Cursor {
        submitted: Timestamp(1),
        id: JobId::new("x").unwrap(),
    };
    let none = || JobFilter {
        limit: 50,
        before: Some(before.clone()),
        ..JobFilter::default()
    };
    let project = || JobFilter {
        project: Some(Project::new("a/b").unwrap()),
        ..none()
    };
    let x = || Some("x".to_owned());
    let two = vec![JobState::Failed, JobState::Passed];
    for (filter, walk) in [
        (none(), "INDEX jobs_newest ("),
        (project(), "INDEX jobs_by_project (project=? AND "),
        (
            JobFilter { branch: x(), ..none() },
            "INDEX jobs_by_branch (branch=? AND ",
        ),
        (
            JobFilter {
                branch: x(),
                ..project()
            },
            "INDEX jobs_by_project_branch (project=? AND branch=? AND ",
        ),
        (
            JobFilter {
                states: two[..1].to_vec(),
                ..none()
            },
            "INDEX jobs_by_state (state=? AND ",
        ),
        (
            JobFilter {
                states: two.clone(),
                ..none()
            },
            "INDEX jobs_by_state (state=? AND ",
        ),
        (
            JobFilter {
                states: two.clone(),
                ..project()
            },
            "INDEX jobs_by_project_state (project=? AND state=? AND ",
        ),
        (
            JobFilter { author: x(), ..none() },
            "a USING PRIMARY KEY (author=? AND ",
        ),
        (
            JobFilter {
                author: x(),
                states: two.clone(),
                ..project()
            },
            "a USING PRIMARY KEY (author=? AND ",
        ),
        (JobFilter { trigger: x(), ..none() }, "INDEX jobs_by_kind (kind=? AND "),
        (JobFilter { text: x(), ..none() }, "INDEX jobs_newest ("),
        (
            JobFilter {
                text: x(),
                states: two.clone(),
                ..project()
            },
            "INDEX jobs_by_project_state (project=? AND state=? AND ",
        ),
    ] {
        let query = match &filter.text {
            None => page_query(&filter),
            Some(_) => walk_query(&filter, 500),
        };
        let plan = plan(&store, query).await;
        let walks = if filter.states.len() > 1 && filter.author.is_none() {
            2
        } else {
            1
        };
        assert_eq!(
            plan.matches(&format!("{walk}(submitted,id)<(?,?))")).count(),
            walks,
            "{plan}"
        );
        // What is sorted has a page's size; one walk is in order already.
        let sorts = if walks == 1 && filter.text.is_some() { 0 } else { walks };
        assert_eq!(plan.matches("TEMP B-TREE").count(), sorts, "{plan}");
    }
    let running = JobFilter {
        states: vec![JobState::Running],
        branch: x(),
        trigger: x(),
        ..project()
    };
    let few = plan(&store, page_query(&running)).await;
    assert!(few.contains("INDEX jobs_by_state (state=? AND "), "{few}");
    // Jobs that a text is looked for in are found by their keys, whatever else is asked of them.
    let filter = JobFilter {
        states: two,
        branch: x(),
        author: x(),
        ..project()
    };
    let look = plan(&store, look_query(&filter, "%x%", &[1]).unwrap()).await;
    assert!(look.contains("SEARCH jobs USING INTEGER PRIMARY KEY"), "{look}");
    assert!(!look.contains("TEMP B-TREE"), "{look}");
    // Candidates come in the index's own order: nothing is sorted, so that it ends when there are enough.
    let candidates = plan(&store, QueryBuilder::new(CANDIDATES)).await;
    assert!(
        candidates.contains("SCAN job_text VIRTUAL TABLE INDEX") && candidates.contains(":M1><"),
        "{candidates}"
    );
    assert!(!candidates.contains("TEMP B-TREE"), "{candidates}");
}
