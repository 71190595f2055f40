//! What a client asks for over its live socket: submit, cancel, everything known of a job.

use super::{Batch, Client, info};
use crate::api::{
    auth::Need,
    error::{Answer, ApiError},
    jobs,
};
use serde_json::Value;
use shared::{
    JobData, JobId,
    protocol::live::{FromClient, ToClient},
};
use std::sync::Arc;

impl Client {
    /// Serves one request; answers what is to be said at once.
    pub(super) async fn on_request(&mut self, request: FromClient) -> Option<Arc<str>> {
        let about = request.kind();
        let answer = match request {
            FromClient::QueueNew { job } => self.submit(&job).await.map(Some),
            FromClient::Cancel { job } => self.cancel(&job).await.map(|()| None),
            FromClient::QueryInfo { job } => self.query_info(job).map(|()| None),
            FromClient::Subscribe { what } => self.subscribe(what).map(|()| None).map_err(bad),
            FromClient::Unsubscribe { what } => self.unsubscribe(&what).map(|()| None).map_err(bad),
        };
        match answer {
            Ok(answer) => answer.map(|answer| Batch::say(&answer)),
            Err(error) => Some(self.error(&error.message, Some(about))),
        }
    }

    async fn submit(&self, job: &Value) -> Answer<ToClient> {
        self.access.check(Need::Trigger)?;
        let job = JobData::parse(&job.to_string())?;
        let submission = self.context.engine.submit(job).await?;
        let stored = jobs::find(&self.context, &submission.job).await?;
        let view = jobs::view(&self.context, &stored).await;
        Ok(ToClient::Info {
            job: submission.job,
            data: serde_json::to_value(view).unwrap_or_default(),
        })
    }

    async fn cancel(&self, job: &JobId) -> Answer<()> {
        self.access.check(Need::Trigger)?;
        jobs::stop(&self.context, job, None).await.map(drop)
    }

    /// The answer takes its time with a large job, so it is put together beside the socket.
    fn query_info(&mut self, job: JobId) -> Answer<()> {
        self.has_room().map_err(bad)?;
        let (context, queue) = (self.context.clone(), self.queue.clone());
        self.tasks.spawn(async move {
            let answer = match info::of(&context, &job).await {
                Ok(data) => ToClient::Info { job, data },
                Err(error) => ToClient::Error {
                    message: error.message,
                    about: Some("job:query-info".into()),
                },
            };
            // A socket that is gone wants no answer.
            let _ = queue.send(Batch::answer(&answer)).await;
        });
        Ok(())
    }
}

fn bad(message: String) -> ApiError {
    ApiError::bad_query(message)
}
