//! The plans of pages: each filter walks an index in the page's order and stops when the page is full, so that no page
//! grows slower with the number of jobs, and whatever the server knows or does not know of the tables.

use super::{JobFilter, Wanted, candidates_query, first, look_query, page_query};
use crate::store::{Cursor, postgres::PgStore, postgres::server::shared};
use shared::{JobId, JobState, Project, Timestamp};
use sqlx::{Postgres, QueryBuilder, Row};

async fn plan(store: &PgStore, explain: impl FnOnce(&mut QueryBuilder<Postgres>)) -> String {
    let mut query = QueryBuilder::new("EXPLAIN (COSTS OFF) ");
    explain(&mut query);
    let rows = query.build().fetch_all(&store.0.readers).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    steps.join("\n")
}

#[tokio::test]
async fn every_filter_walks_an_index_in_the_order_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let database = shared().database().await;
    let store = PgStore::open(dir.path(), &shared().url(&database).parse().unwrap())
        .await
        .unwrap();
    // Enough that indexes differ; the server has no statistics of it yet, and later it has.
    let fill = "INSERT INTO projects (name) SELECT 'p/' || n FROM generate_series(1, 20) AS n;
        INSERT INTO jobs (id, project, branch, kind, submitted, state, standing)
        SELECT 'j' || n, n % 20, 'b' || n % 7, 'push', n, (ARRAY['passed', 'failed', 'errored'])[n % 3 + 1], '{}'
        FROM generate_series(1, 3000) AS n;
        INSERT INTO job_text SELECT key, id, '', ARRAY[key::int, key::int % 9] FROM jobs;
        INSERT INTO job_authors SELECT 'x' || job % 9, submitted, id, key FROM (SELECT *, key AS job FROM jobs) AS jobs";
    shared().run(&database, fill).await;
    walks(&store).await;
    shared().run(&database, "ANALYZE").await;
    walks(&store).await;
}

async fn walks(store: &PgStore) {
    let before = Cursor {
        submitted: Timestamp(2_900),
        id: JobId::new("x").unwrap(),
    };
    let none = || JobFilter {
        limit: 50,
        before: Some(before.clone()),
        ..JobFilter::default()
    };
    let project = || JobFilter {
        project: Some(Project::new("p/1").unwrap()),
        ..none()
    };
    let x = || Some("b1".to_owned());
    let two = || vec![JobState::Failed, JobState::Passed];
    let one = || vec![JobState::Failed];
    for (walk, filter) in [
        ("jobs_newest on jobs", none()),
        ("jobs_by_project on jobs", project()),
        ("jobs_by_branch on jobs", JobFilter { branch: x(), ..none() }),
        (
            "jobs_by_project_branch on jobs",
            JobFilter {
                branch: x(),
                ..project()
            },
        ),
        (
            "jobs_by_state on jobs",
            JobFilter {
                states: one(),
                ..none()
            },
        ),
        (
            "jobs_by_state on jobs",
            JobFilter {
                states: two(),
                ..none()
            },
        ),
        (
            "jobs_by_project_state on jobs",
            JobFilter {
                states: two(),
                ..project()
            },
        ),
        ("job_authors_pkey on job_authors", JobFilter { author: x(), ..none() }),
        (
            "job_authors_pkey on job_authors",
            JobFilter {
                author: x(),
                states: two(),
                ..project()
            },
        ),
        ("jobs_by_kind on jobs", JobFilter { trigger: x(), ..none() }),
        ("jobs_newest on jobs", JobFilter { text: x(), ..none() }),
        (
            "jobs_by_state on jobs",
            JobFilter {
                states: vec![JobState::Running],
                branch: x(),
                trigger: x(),
                ..project()
            },
        ),
    ] {
        let plan = plan(store, |query| match filter.text {
            None => page_query(query, &filter),
            Some(_) => first(query, &filter, 500),
        })
        .await;
        let walks = if filter.states.len() > 1 && filter.author.is_none() {
            2
        } else {
            1
        };
        let scan = format!("Backward using {walk}");
        assert_eq!(plan.matches(&scan).count(), walks, "{filter:?}\n{plan}");
        assert_eq!(
            plan.matches("ROW(").count(),
            2 * walks,
            "the cursor bounds the walk: {plan}"
        );
        assert!(!plan.contains("Seq Scan on job"), "{plan}");
        // The rows of the page are sorted at the end; what is walked is in order already.
        assert_eq!(
            plan.matches("Sort Key").count() - plan.matches("Merge Append").count(),
            usize::from(filter.text.is_none()),
            "{plan}"
        );
    }
    // Jobs that a text is looked for in are found by their keys, whatever else is asked of them.
    let wanted = Wanted::of("b1");
    let filter = JobFilter {
        branch: x(),
        states: two(),
        author: x(),
        ..project()
    };
    let keys: Vec<i64> = (1..400).collect();
    let look = plan(store, |query| look_query(query, &filter, &wanted, &keys)).await;
    assert!(
        look.contains("job_text_pkey") && look.contains("jobs_pkey on jobs"),
        "{look}"
    );
    for other in ["Sort", "Seq Scan on job", "jobs_by", "jobs_newest", "Backward"] {
        assert!(!look.contains(other), "{look}");
    }
    let candidates = plan(store, |query| candidates_query(query, &wanted, &(1..3_000), 1_000)).await;
    assert!(
        candidates.contains("Bitmap Index Scan on job_text_by_gram"),
        "{candidates}"
    );
    assert!(
        !candidates.contains("pkey"),
        "no other index is walked for the order: {candidates}"
    );
}
