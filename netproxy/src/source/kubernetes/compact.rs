//! Watches of Services and `EndpointSlices` in Kubernetes' protobuf encoding, handed on as the JSON that kube
//! reads, reduced to the fields that are used.
//!
//! In this encoding a large list is a third of the bytes, costs the API server a fraction of the time, and
//! what nobody uses is skipped unread. A server that answers in JSON is understood as well.

mod frames;
mod messages;

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use kube::client::Body;
use tower::{BoxError, Service};

use self::frames::{lines, refusal};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What is asked for; a refusal may come in either.
const WANTED: HeaderValue =
    HeaderValue::from_static("application/vnd.kubernetes.protobuf, application/json");
/// The collections that are large.
const COLLECTIONS: [&str; 2] = ["/services", "/endpointslices"];
/// The most that is read of a refusal.
const LONGEST_REFUSAL: usize = 1 << 20;

/// A service that asks for watches in protobuf and answers in JSON.
#[derive(Clone, Debug)]
pub(super) struct Compact<S>(pub(super) S);

/// The body of an answer, whatever it was.
type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

impl<S, B> Service<Request<Body>> for Compact<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if is_large_watch(request.uri()) && !request.headers().contains_key(ACCEPT) {
            request.headers_mut().insert(ACCEPT, WANTED);
        }
        let answer = self.0.call(request);
        Box::pin(async move { in_json(answer.await?).await })
    }
}

fn is_large_watch(uri: &Uri) -> bool {
    let is_watch = uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    is_watch && COLLECTIONS.iter().any(|it| uri.path().ends_with(it))
}

/// The same answer in JSON.
async fn in_json<B>(answer: Response<B>) -> Result<Response<AnswerBody>, BoxError>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = answer.into_parts();
    if !is_protobuf(&head.headers) {
        let body = body.map_err(Into::into).boxed_unsync();
        return Ok(Response::from_parts(head, body));
    }
    head.headers.insert(CONTENT_TYPE, JSON);
    head.headers.remove(CONTENT_LENGTH);
    let body = if head.status.is_success() {
        StreamBody::new(lines(body)).boxed_unsync()
    } else {
        let body = Limited::new(body, LONGEST_REFUSAL).collect().await?;
        let body = Full::new(refusal(&body.to_bytes()));
        body.map_err(|never| match never {}).boxed_unsync()
    };
    Ok(Response::from_parts(head, body))
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(PROTOBUF.as_bytes()))
}
