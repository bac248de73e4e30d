//! From the frames of a watch's body to lines of JSON.
//!
//! A frame is its length (4 bytes, big-endian) and a [`WatchEvent`]; the object in it is behind a magic number.
//! An object that cannot be read becomes a line that kube cannot read either, which is a failure of that one event.

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http_body_util::BodyStream;
use hyper::body::{Body, Frame};
use prost::{DecodeError, Message};
use serde::Serialize;
use thiserror::Error;
use tower::BoxError;

use super::messages::{EndpointSlice, Envelope, Service, Status, TypeMeta, WatchEvent};

/// What objects begin with (k8s.io/apimachinery/pkg/runtime/serializer/protobuf).
const MAGIC: &[u8] = b"k8s\0";
const LENGTH_BYTES: usize = 4;
/// Longer than any object may be: etcd takes 1.5 MB, the API server 3 MB.
const LONGEST_FRAME: usize = 64 << 20;

/// Why bytes are not what they should be.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("the API server announces an event of {0} bytes")]
    Length(usize),
    #[error("the connection ended in the middle of an event")]
    Cut,
    #[error("not an object in protobuf: the magic number is missing")]
    Magic,
    #[error("an object of the unexpected kind {0:?}")]
    Kind(String),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The lines of a watch's body, as many at once as there are whole frames.
pub(super) fn lines<B>(body: B) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let body = Box::pin(BodyStream::new(body));
    stream::try_unfold(
        (body, BytesMut::new()),
        |(mut body, mut waiting)| async move {
            loop {
                let Some(frame) = body.next().await else {
                    return if waiting.is_empty() {
                        Ok(None)
                    } else {
                        Err(BoxError::from(Unreadable::Cut))
                    };
                };
                if let Ok(data) = frame.map_err(Into::into)?.into_data() {
                    waiting.extend_from_slice(&data);
                }
                let lines = take_lines(&mut waiting)?;
                if !lines.is_empty() {
                    let lines = Frame::data(Bytes::from(lines));
                    return Ok(Some((lines, (body, waiting))));
                }
            }
        },
    )
}

/// A refusal as JSON; kube quotes what it cannot read.
pub(super) fn refusal(body: &Bytes) -> Bytes {
    let mut json = Vec::new();
    match write_object(body, &mut json) {
        Ok(()) => json.into(),
        Err(error) => error.to_string().into(),
    }
}

/// Takes the whole frames from the front, and writes a line for each.
fn take_lines(waiting: &mut BytesMut) -> Result<Vec<u8>, Unreadable> {
    let mut lines = Vec::new();
    while let Some((head, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_be_bytes(*head) as usize;
        if length > LONGEST_FRAME {
            return Err(Unreadable::Length(length));
        }
        if rest.len() < length {
            break;
        }
        waiting.advance(LENGTH_BYTES);
        write_line(waiting.split_to(length).freeze(), &mut lines)?;
    }
    Ok(lines)
}

fn write_line(frame: Bytes, lines: &mut Vec<u8>) -> Result<(), Unreadable> {
    let WatchEvent { kind, object } = WatchEvent::decode(frame)?;
    lines.extend_from_slice(b"{\"type\":");
    serde_json::to_writer(&mut *lines, &kind)?;
    lines.extend_from_slice(b",\"object\":");
    if let Err(error) = write_object(&object.unwrap_or_default().raw, lines) {
        serde_json::to_writer(&mut *lines, &error.to_string())?;
    }
    lines.extend_from_slice(b"}\n");
    Ok(())
}

/// Writes an object, or nothing.
fn write_object(bytes: &Bytes, json: &mut Vec<u8>) -> Result<(), Unreadable> {
    if !bytes.starts_with(MAGIC) {
        return Err(Unreadable::Magic);
    }
    let Envelope { type_meta, raw } = Envelope::decode(bytes.slice(MAGIC.len()..))?;
    let type_meta = type_meta.unwrap_or_default();
    match type_meta.kind.as_str() {
        "Service" => write::<Service>(type_meta, raw, json),
        "EndpointSlice" => write::<EndpointSlice>(type_meta, raw, json),
        "Status" => write::<Status>(type_meta, raw, json),
        _ => Err(Unreadable::Kind(type_meta.kind)),
    }
}

fn write<O: Message + Default + Serialize>(
    type_meta: TypeMeta,
    raw: Bytes,
    json: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    #[derive(Serialize)]
    struct Typed<O> {
        #[serde(flatten)]
        type_meta: TypeMeta,
        #[serde(flatten)]
        object: O,
    }
    let object = O::decode(raw)?;
    Ok(serde_json::to_writer(json, &Typed { type_meta, object })?)
}

#[cfg(test)]
mod tests;
