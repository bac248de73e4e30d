//! Frames as an API server sends them, built here field by field.

use serde_json::{Value, json};

use super::super::messages::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, Named, ObjectMeta, RawExtension,
    ServicePort, ServiceSpec,
};
use super::*;

fn enveloped(kind: &str, object: &impl Message) -> Vec<u8> {
    let envelope = Envelope {
        type_meta: Some(TypeMeta {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
        }),
        raw: object.encode_to_vec().into(),
    };
    [MAGIC, &envelope.encode_to_vec()].concat()
}

fn frame(event: &str, object: Vec<u8>) -> Vec<u8> {
    let event = WatchEvent {
        kind: event.to_owned(),
        object: Some(RawExtension { raw: object.into() }),
    };
    let event = event.encode_to_vec();
    let length = u32::try_from(event.len()).unwrap().to_be_bytes();
    [&length[..], &event].concat()
}

fn service(name: &str) -> Service {
    let metadata = ObjectMeta {
        name: name.to_owned(),
        resource_version: "7".to_owned(),
        ..ObjectMeta::default()
    };
    let port = ServicePort {
        port: 80,
        ..ServicePort::default()
    };
    Service {
        metadata: Some(metadata),
        spec: Some(ServiceSpec {
            ports: vec![port],
            cluster_ip: "10.96.0.1".to_owned(),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

async fn read(chunks: Vec<Vec<u8>>) -> Result<Vec<Value>, BoxError> {
    let chunks = chunks
        .into_iter()
        .map(|it| Ok::<_, BoxError>(Frame::data(it.into())));
    let body = http_body_util::StreamBody::new(stream::iter(chunks));
    let mut lines = std::pin::pin!(lines(body));
    let mut text = Vec::new();
    while let Some(frame) = lines.next().await {
        text.extend_from_slice(&frame?.into_data().unwrap());
    }
    let text = String::from_utf8(text)?;
    let lines = text.lines().map(|line| Ok(serde_json::from_str(line)?));
    lines.collect()
}

#[tokio::test]
async fn events_are_whole_wherever_the_network_cuts_them() {
    let first = frame("ADDED", enveloped("Service", &service("a")));
    let second = frame("MODIFIED", enveloped("Service", &service("b")));
    let bytes = [first, second].concat();

    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        let events = read(vec![front.to_vec(), back.to_vec()]).await.unwrap();

        assert_eq!(events.len(), 2, "cut at {cut}");
        assert_eq!(events[0]["type"], "ADDED");
        assert_eq!(events[1]["object"]["metadata"]["name"], "b");
    }
}

#[tokio::test]
async fn what_is_empty_is_left_out_as_the_api_server_does() {
    let bytes = frame("ADDED", enveloped("Service", &service("a")));

    let events = read(vec![bytes]).await.unwrap();

    let service = &events[0]["object"];
    assert_eq!(service["kind"], "Service");
    assert_eq!(
        service["metadata"],
        json!({"name": "a", "resourceVersion": "7"})
    );
    assert_eq!(service["spec"]["ports"], json!([{"port": 80}]));
    assert_eq!(service["spec"].get("healthCheckNodePort"), None);
}

#[tokio::test]
async fn a_slice_has_all_that_is_used_of_it() {
    let named = |name: &str| Named {
        name: name.to_owned(),
    };
    let slice = EndpointSlice {
        metadata: None,
        endpoints: vec![Endpoint {
            addresses: vec!["10.0.0.1".to_owned()],
            conditions: Some(EndpointConditions {
                ready: Some(false),
                serving: None,
                terminating: Some(true),
            }),
            node_name: Some("worker-1".to_owned()),
            hints: Some(EndpointHints {
                for_zones: vec![named("a")],
                for_nodes: vec![named("worker-2")],
            }),
        }],
        ports: vec![EndpointPort {
            name: Some(String::new()),
            protocol: Some("UDP".to_owned()),
            port: Some(53),
        }],
        address_type: "IPv4".to_owned(),
    };

    let events = read(vec![frame("ADDED", enveloped("EndpointSlice", &slice))])
        .await
        .unwrap();

    let object = &events[0]["object"];
    assert_eq!(object["addressType"], "IPv4");
    assert_eq!(
        object["ports"],
        json!([{"name": "", "protocol": "UDP", "port": 53}])
    );
    let expected = json!([{
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": false, "serving": null, "terminating": true},
        "nodeName": "worker-1",
        "hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "worker-2"}]},
    }]);
    assert_eq!(object["endpoints"], expected);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_costs_its_own_event_only() {
    let frames = [
        frame("ADDED", b"{}".to_vec()),
        frame("ADDED", [MAGIC, &[0xff; 4]].concat()),
        frame("ADDED", enveloped("Secret", &service("a"))),
        frame("ADDED", enveloped("Service", &service("b"))),
    ];

    let events = read(vec![frames.concat()]).await.unwrap();

    assert_eq!(events.len(), 4);
    assert!(events[..3].iter().all(|event| event["object"].is_string()));
    assert_eq!(events[3]["object"]["metadata"]["name"], "b");
}

#[tokio::test]
async fn an_error_is_told_with_its_code() {
    let status = Status {
        outcome: "Failure".to_owned(),
        message: "too old".to_owned(),
        reason: "Expired".to_owned(),
        code: 410,
    };

    let events = read(vec![frame("ERROR", enveloped("Status", &status))])
        .await
        .unwrap();
    let refused = refusal(&enveloped("Status", &status).into());

    assert_eq!(events[0]["object"]["code"], 410);
    let refused: Value = serde_json::from_slice(&refused).unwrap();
    assert_eq!(refused, events[0]["object"]);
}

#[tokio::test]
async fn a_body_that_ends_within_an_event_or_announces_a_huge_one_fails() {
    let mut cut = frame("ADDED", enveloped("Service", &service("a")));
    cut.pop();

    let error = read(vec![cut]).await.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Unreadable::Cut)),
        "{error}"
    );
    let error = read(vec![vec![0xff; 4]]).await.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Unreadable::Length(_))),
        "{error}"
    );
}
