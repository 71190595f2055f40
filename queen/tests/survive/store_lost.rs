//! A queen whose disk is full or whose database is gone says so, takes nothing, tells nothing that is not written, and
//! goes on when it heals; one that cannot start says why.

use crate::{
    disk::{Disk, MOUNTS, on_disk},
    follower::Follower,
    harness::job as plain_job,
    postgres::Server,
    world::{LOOK, Program, World, until},
};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tokio::time::{sleep, timeout};

/// Writes numbered lines, each part of fifty when the test says so.
const FILE: &str = r#"
i=1
while [ $i -le 150 ]; do
    if [ $((i % 50)) = 1 ]; then
        while [ -d "$NOTES" ] && [ ! -e "$NOTES/part$((i / 50))" ]; do sleep 0.02; done
    fi
    echo "line $i"
    i=$((i + 1))
done
touch "$NOTES/done"
"#;

/// A queen, and a job that waits in its middle.
struct Scene {
    world: World,
    notes: PathBuf,
    queen: Program,
    drone: Program,
    job: String,
    client: Follower,
}

impl Scene {
    /// With a file for a database, on a disk of its own.
    async fn set() -> (Self, Disk) {
        let world = World::new();
        let data = world.beside("queen");
        let serve = world.serve(&["--grace", "600"]);
        let queen = Program::start("queen", on_disk(&world.suite, &serve, &data, "size=32m"));
        queen.says("listens on ").await;
        let disk = Disk::of(&queen, &data);
        (Self::begin(world, queen).await, disk)
    }

    async fn begin(world: World, queen: Program) -> Self {
        let notes = world.beside("notes");
        fs::create_dir(&notes).unwrap();
        let settings = format!("[env]\nNOTES = '{}'\n", notes.display());
        let repository = world.repository(&settings, &[("file", FILE)]);
        let drone = world.drone("drone", &[]).await;
        let job = world.submit(&repository, json!({})).await;
        fs::write(notes.join("part0"), "").unwrap();
        let mut client = Follower::new(&world.addr, &job);
        client.event("job:file:start").await;
        client.event("job:cmd:stdout").await;
        Self {
            world,
            notes,
            queen,
            drone,
            job,
            client,
        }
    }

    /// The queen is ill while the job goes on: she says so with these words, and takes nothing.
    async fn is_ill(&mut self, words: &str) {
        fs::write(self.notes.join("part1"), "").unwrap();
        self.queen.says("a write failed: nothing of it was told").await;
        let ready = self.world.get("/readyz").await;
        let (kind, message) = ready.error();
        assert_eq!((ready.status, kind.as_str()), (503, "not-ready"), "{message}");
        assert!(
            message.contains("takes no work and tries again by itself") && message.contains(words),
            "{message}"
        );
        assert_eq!(self.world.get("/healthz").await.status, 200);
        let refused = self
            .world
            .post("/api/v1/jobs", &plain_job(json!({"job_id": "refused"})))
            .await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, "1"),
            "{refused:?}"
        );
        let message = refused.error().1;
        assert!(message.contains("try again shortly"), "{message}");
        fs::write(self.notes.join("part2"), "").unwrap();
        until("the drone to work on", || {
            self.notes.join("done").exists().then_some(())
        })
        .await;
    }

    /// She has healed: everything arrives, and nothing is there that was refused.
    async fn heals(mut self) {
        self.queen.says("the store is well again").await;
        assert_eq!(self.world.get("/readyz").await.status, 200);
        self.client.finished().await;
        assert_eq!(self.world.job(&self.job).await["state"], "passed");
        assert_eq!(
            self.client.results(),
            [("tests/file".to_owned(), 1, "passed".to_owned())]
        );
        let known: String = (1..=150).map(|i| format!("line {i}\n")).collect();
        let said: Vec<String> = self.client.output().into_values().collect();
        assert_eq!(said, [known]);
        assert_eq!(self.world.stored(&self.job).await, self.client.seen);
        assert_eq!(self.world.get("/api/v1/jobs/refused").await.status, 404);
        let taken = self
            .world
            .post(
                "/api/v1/jobs",
                &plain_job(json!({"job_id": "refused", "labels": ["none"]})),
            )
            .await;
        assert_eq!(taken.status, 201, "{taken:?}");
        self.drone.stop().await;
        self.queen.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_work_goes_on_when_there_is_room() {
    let (mut scene, disk) = Scene::set().await;
    disk.fill();
    scene
        .is_ill(if MOUNTS.is_some() {
            "free space"
        } else {
            "look at the disk"
        })
        .await;
    // What can be read is shown.
    assert_eq!(scene.world.job(&scene.job).await["state"], "running");
    disk.free();
    scene.heals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_stops_is_missed_and_work_goes_on_when_it_is_back() {
    let server = Server::start();
    let world = World::on(&server).await;
    let queen = world.queen(&["--grace", "600"]).await;
    let mut scene = Scene::begin(world, queen).await;
    server.stop();
    scene.is_ill("cannot be used").await;
    server.start_again();
    scene.heals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_taken_away_is_missed_and_work_goes_on_when_it_is_back() {
    for (name, words) in [
        ("skep.db", "skep.db is gone: put it back"),
        ("skep.db-wal", "skep.db-wal is gone"),
    ] {
        let (mut scene, disk) = Scene::set().await;
        let (file, away) = (disk.dir().join(name), disk.dir().join("away"));
        fs::rename(&file, &away).unwrap();
        scene.is_ill(words).await;
        fs::rename(&away, &file).unwrap();
        scene.heals().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_replaced_or_emptied_is_not_trusted() {
    let (mut scene, disk) = Scene::set().await;
    let (file, away) = (disk.dir().join("skep.db"), disk.dir().join("away"));
    fs::rename(&file, &away).unwrap();
    fs::copy(&away, &file).unwrap();
    scene.is_ill("was replaced while the queen runs").await;
    fs::rename(&away, &file).unwrap();
    // An empty one, too, is not the one that she knows.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    let emptied = async {
        while !scene
            .world
            .get("/readyz")
            .await
            .body
            .contains("was emptied while the queen runs")
        {
            sleep(LOOK).await;
        }
    };
    timeout(crate::cli_support::LONG, emptied).await.expect("it is noticed");
    fs::write(&file, whole).unwrap();
    scene.heals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queen_that_cannot_use_her_data_says_why_and_what_to_do() {
    let world = World::new();
    let data = world.beside("queen");
    world.queen(&[]).await.kill().await;
    // Everything into the database itself, so that there is something to damage.
    let url = format!("sqlite://{}", data.join("skep.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let whole = fs::read(data.join("skep.db")).unwrap();

    let garbage: Vec<u8> = whole.iter().map(|byte| byte ^ 0x5a).collect();
    for (what, bytes) in [
        ("garbage", garbage.as_slice()),
        ("half of it", &whole[..whole.len() / 2]),
    ] {
        fs::write(data.join("skep.db"), bytes).unwrap();
        let said = refused(&world, None).await;
        assert!(
            said.contains("the file is damaged") && said.contains("put back a backup"),
            "{what}: {said}"
        );
    }
    fs::write(data.join("skep.db"), &whole).unwrap();

    let key = fs::read(data.join("secret.key")).unwrap();
    fs::remove_file(data.join("secret.key")).unwrap();
    let said = refused(&world, None).await;
    assert!(
        said.contains("the key of this database is gone: put it back from a backup"),
        "{said}"
    );
    fs::write(data.join("secret.key"), key).unwrap();

    let lock = data.join("queen.lock");
    // Root may write wherever it likes, unless the disk itself is read-only.
    // SAFETY: asks for a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o400)).unwrap();
        let said = refused(&world, None).await;
        assert!(
            said.contains("queen.lock: Permission denied") && said.contains("must be able to read and write"),
            "{said}"
        );
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).unwrap();
    }
    if MOUNTS.is_some() {
        let said = refused(&world, Some("size=1m,ro")).await;
        assert!(
            said.contains("queen.lock: Read-only file system") && said.contains("must be able to read and write"),
            "{said}"
        );
        let said = refused(&world, Some("size=64k")).await;
        assert!(
            said.contains("database or disk is full") && said.contains("free space"),
            "{said}"
        );
    }
    world.queen(&[]).await.stop().await;
}

/// Starts the queen, on a disk of her own if `disk` says of which kind; answers her complaint.
async fn refused(world: &World, disk: Option<&str>) -> String {
    let data: &Path = &world.beside("queen");
    let mut command = world.serve(&[]);
    if let Some(options) = disk {
        command = on_disk(&world.suite, &command, data, options);
    }
    crate::cli_support::ended(command).await.expect(1).stderr
}
