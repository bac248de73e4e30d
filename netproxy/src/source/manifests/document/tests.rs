//! What files declare, and where they are broken.

use super::*;

fn parsed(text: &str) -> Result<Vec<Declared>, Broken> {
    parse(text.as_bytes(), &interest(), &mut Interner::default())
}

fn interest() -> Interest {
    Interest {
        node_name: "worker-1".into(),
        has_pods: true,
    }
}

/// `line kind name` of every object that `text` declares.
fn declared(text: &str) -> Vec<String> {
    let declared = parsed(text).unwrap().into_iter();
    declared
        .map(|Declared { line, object }| match object {
            Object::Service(name, Some(_)) => format!("{line} service {name}"),
            Object::Service(name, None) => format!("{line} no service {name}"),
            Object::Slice(name, Some(_)) => format!("{line} slice {name}"),
            Object::Slice(name, None) => format!("{line} no slice {name}"),
            Object::Node(node) => format!("{line} node {}", node.name),
            Object::ServiceCidr(name, networks) => {
                format!("{line} service cidr {name} {networks:?}")
            }
            Object::Pod(name, Some(pod)) => format!("{line} pod {name} {:?}", pod.wish),
            Object::Pod(name, None) => format!("{line} no pod {name}"),
            Object::Namespace(Namespace { name, wish }) => {
                format!("{line} namespace {name} {wish:?}")
            }
        })
        .collect()
}

fn broken(text: &str) -> (usize, usize, String) {
    let Broken {
        line,
        column,
        reason,
    } = parsed(text).unwrap_err();
    (line, column, reason)
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.0.10
  ports:
  - port: 80
    targetPort: http
";

const SLICE: &str = "\
metadata:
  name: web-1
  namespace: shop
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
ports:
- port: 8080
endpoints:
- addresses: [10.0.0.1]
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
";

#[test]
fn one_file_may_hold_many_documents() {
    let text = format!(
        "# comment\n%YAML 1.2\n---\n{SERVICE}---\n---\n# nothing\n--- # more\n{SLICE}---\n"
    );

    assert_eq!(
        declared(&text),
        ["1 service default/web", "15 slice shop/web-1"]
    );
}

#[test]
fn dashes_inside_a_line_do_not_end_a_document() {
    let text = format!("{SERVICE}status:\n  conditions: []\n  note: ---\n---x: 1\n");

    assert_eq!(declared(&text), ["1 service default/web"]);
}

#[test]
fn an_empty_file_declares_nothing() {
    for text in [
        "",
        "\n",
        "---\n",
        "# comment\n",
        "---\n---\n",
        "null\n",
        "\u{feff}",
    ] {
        assert!(declared(text).is_empty(), "{text:?}");
    }
}

#[test]
fn lists_are_read_item_by_item() {
    let text = "\
apiVersion: v1
kind: List
metadata: {}
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a, namespace: shop}
  spec: {clusterIP: 10.96.0.1}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: ignored}
- metadata: {name: worker-1}
  kind: Node
  apiVersion: v1
";

    assert_eq!(declared(text), ["5 service shop/a", "12 node worker-1"]);
}

#[test]
fn json_is_read_as_well() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"List\",\n\t\"items\": [\n\t\t{\n\
        \t\t\t\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\
        \t\t\t\"metadata\": {\"name\": \"web\"}, \"spec\": {\"clusterIP\": \"10.96.0.1\"}\n\
        \t\t}\n\t]\n}\n";

    assert_eq!(declared(text), ["5 service default/web"]);
}

#[test]
fn other_kinds_and_other_groups_are_ignored() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n\
        ---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n";

    assert!(declared(text).is_empty());
}

#[test]
fn only_this_nodes_own_node_is_declared() {
    let node = |name: &str| format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n");
    let text = format!("{}---\n{}", node("worker-2"), node("worker-1"));

    assert_eq!(declared(&text), ["4 node worker-1"]);
}

#[test]
fn objects_of_no_concern_are_declared_without_a_model() {
    let headless = SERVICE.replace("10.96.0.10", "None");
    let of_nobody = SLICE.replace("kubernetes.io/service-name", "app");

    assert_eq!(declared(&headless), ["1 no service default/web"]);
    assert_eq!(declared(&of_nobody), ["1 no slice shop/web-1"]);
}

#[test]
fn a_slice_port_without_a_name_has_the_empty_one() {
    let declared = parsed(SLICE).unwrap();

    let Object::Slice(_, Some(slice)) = &declared[0].object else {
        panic!("{declared:?}")
    };
    assert_eq!(&*slice.ports[0].name, "");
}

#[test]
fn a_broken_file_is_told_with_line_and_column() {
    let wrong_type = SERVICE.replace("port: 80", "port: [80]");
    let (line, column, reason) = broken(&format!("{SERVICE}---\n{wrong_type}"));
    assert_eq!((line, column), (16, 11), "{reason}");

    let (line, _, reason) = broken(&format!("{SERVICE}---\nkind: [Service\n"));
    assert!((10..=11).contains(&line), "{line}: {reason}");
    assert!(!reason.contains('\n'), "{reason}");
}

#[test]
fn a_broken_item_of_a_list_is_told_with_its_line() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  spec: 7\n";

    let (line, column, reason) = broken(text);

    assert_eq!((line, column), (6, 9), "{reason}");
}

#[test]
fn objects_need_a_kind_and_a_name() {
    let (line, _, reason) = broken(&format!("{SERVICE}---\nmetadata: {{name: web}}\n"));
    assert!(reason.contains("lacks apiVersion or kind"), "{reason}");
    assert!((9..=10).contains(&line), "{line}");

    let (line, _, reason) = broken("\n---\napiVersion: v1\nkind: Service\nmetadata: {}\n");
    assert_eq!(
        (line, reason.as_str()),
        (
            1,
            "metadata.name or metadata.namespace is missing, or none that Kubernetes admits"
        )
    );
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_line() {
    let error = parse(b"a: b\n\xff", &interest(), &mut Interner::default()).unwrap_err();

    assert_eq!(error.line, 2);
}

#[test]
fn service_cidrs_are_declared_wherever_they_stand() {
    let cidr = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: all}\n\
                spec: {cidrs: [010.96.0.0/16, 'fd00::/108', nonsense]}\n";
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: networking.k8s.io/v1, \
                kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.97.0.0/16]}}\n";

    let declared = declared(&format!("{cidr}---\n{list}"));

    assert_eq!(
        declared,
        [
            "1 service cidr all [10.96.0.0/16, fd00::/108]",
            "9 service cidr more [10.97.0.0/16]"
        ]
    );
}

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: cart
  namespace: shop
  uid: 0b3a2c1d-1111-4222-8333-abcdefabcdef
  annotations: {netproxy.dev/socket-balancing: \"off\"}
spec: {nodeName: worker-1}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: of-another-node, uid: 0b3a2c1d-1111-4222-8333-abcdefabcdef}
  spec: {nodeName: worker-2}
- apiVersion: v1
  kind: Pod
  metadata: {name: without-uid}
  spec: {nodeName: worker-1}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {netproxy.dev/socket-balancing: \"on\"}}
";

#[test]
fn pods_of_this_node_and_namespaces_are_read_where_they_are_of_interest() {
    let declared = declared(PODS);
    let without = Interest {
        has_pods: false,
        ..interest()
    };
    let nothing = parse(PODS.as_bytes(), &without, &mut Interner::default()).unwrap();

    assert_eq!(
        declared,
        [
            "1 pod shop/cart Some(Off)",
            "17 no pod default/without-uid",
            "21 namespace shop Some(On)",
        ]
    );
    assert_eq!(nothing, []);
}
