//! Requests to the API server, measured as they pass.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use crate::metrics::note_request;

/// A service whose requests are noted for the metrics.
#[derive(Clone, Debug)]
pub(super) struct Measured<S>(pub(super) S);

impl<S, A, B> Service<Request<A>> for Measured<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let began = Instant::now();
        let answer = self.0.call(request);
        Box::pin(async move {
            let outcome = answer.await;
            let status = outcome.as_ref().ok().map(Response::status);
            note_request(&method, &uri, status, began.elapsed());
            outcome
        })
    }
}
