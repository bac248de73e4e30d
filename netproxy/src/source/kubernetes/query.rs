//! What is asked of the API server, and what is asked instead when it refuses.

use kube::runtime::watcher::Config;

use super::kind::Kind;

/// Services of other proxies stay there. Only that the label exists matters.
const SERVICE_LABELS: &str = "!service.kubernetes.io/service-proxy-name";
/// Slices of headless services stay there.
const SLICE_LABELS: &str = "!service.kubernetes.io/headless";
/// Headless services stay there, if the server knows the selector.
const SERVICE_FIELDS: &str = "spec.clusterIP!=None";
/// Objects per page where the server cannot stream the list.
const PAGE_SIZE: u32 = 500;

/// Codes with which a server refuses a query that it does not understand.
const BAD_REQUEST: u16 = 400;
const UNPROCESSABLE: u16 = 422;

/// The query of one kind. Starts with all that a current server offers; what it refuses is given
/// up one by one, and the objects that a selector no longer holds back are filtered by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    labels: Option<&'static str>,
    fields: Option<String>,
    can_drop_fields: bool,
    is_streaming: bool,
}

impl Query {
    /// The query of `kind` on the node `node_name`.
    pub(super) fn new(kind: Kind, node_name: &str) -> Self {
        let (labels, fields, can_drop_fields) = match kind {
            Kind::Services => (Some(SERVICE_LABELS), Some(SERVICE_FIELDS.to_owned()), true),
            Kind::EndpointSlices => (Some(SLICE_LABELS), None, false),
            Kind::ServiceCidrs | Kind::Namespaces => (None, None, false),
            Kind::Pods => (None, Some(format!("spec.nodeName={node_name}")), false),
            Kind::Node => (None, Some(format!("metadata.name={node_name}")), false),
        };
        Self {
            labels,
            fields,
            can_drop_fields,
            is_streaming: true,
        }
    }

    /// For kube's watcher.
    pub(super) fn config(&self) -> Config {
        let Self {
            labels,
            fields,
            can_drop_fields: _,
            is_streaming,
        } = self;
        let mut config = Config::default().any_semantic().page_size(PAGE_SIZE);
        if let Some(labels) = labels {
            config = config.labels(labels);
        }
        if let Some(fields) = fields {
            config = config.fields(fields);
        }
        if *is_streaming {
            config = config.streaming_lists();
        }
        config
    }

    /// Gives up what the server has refused with `code` and `message`. The answer says what that
    /// was; None if the refusal has nothing to do with the query, or nothing is left to give up.
    pub(super) fn give_up(&mut self, code: u16, message: &str) -> Option<&'static str> {
        if !matches!(code, BAD_REQUEST | UNPROCESSABLE) {
            return None;
        }
        let is_about_fields = message.contains("field label") || message.contains("fieldSelector");
        if self.is_streaming && !(is_about_fields && self.can_drop_fields) {
            return self.give_up_streaming();
        }
        if self.can_drop_fields {
            self.can_drop_fields = false;
            self.fields = None;
            return Some("the field selector");
        }
        None
    }

    /// Gives up streaming lists, if they were asked for.
    pub(super) fn give_up_streaming(&mut self) -> Option<&'static str> {
        let was_streaming = std::mem::replace(&mut self.is_streaming, false);
        was_streaming.then_some("streaming lists")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_field_selector_gives_up_only_that() {
        let mut query = Query::new(Kind::Services, "n");

        let given_up = query.give_up(400, "field label not supported: spec.clusterIP");

        assert_eq!(given_up, Some("the field selector"));
        let config = query.config();
        assert_eq!(config.field_selector, None);
        assert_eq!(config.label_selector.as_deref(), Some(SERVICE_LABELS));
        assert_eq!(config, Query::new(Kind::Services, "n").config().unfielded());
    }

    #[test]
    fn an_unexplained_refusal_gives_up_streaming_then_the_field_selector_then_nothing() {
        let mut query = Query::new(Kind::Services, "n");

        let given_up = [(); 3].map(|()| query.give_up(422, "sendInitialEvents is forbidden"));

        assert_eq!(
            given_up,
            [Some("streaming lists"), Some("the field selector"), None]
        );
    }

    #[test]
    fn the_nodes_own_name_is_never_given_up() {
        let mut query = Query::new(Kind::Node, "worker-1");

        let given_up = [(); 2].map(|()| query.give_up(400, "field label not supported"));

        assert_eq!(given_up, [Some("streaming lists"), None]);
        let fields = query.config().field_selector;
        assert_eq!(fields.as_deref(), Some("metadata.name=worker-1"));
    }

    #[test]
    fn other_answers_give_up_nothing() {
        let mut query = Query::new(Kind::Services, "n");
        for code in [0, 401, 403, 404, 410, 429, 500, 503, 504] {
            assert_eq!(query.give_up(code, "field label"), None, "{code}");
        }
        assert_eq!(query, Query::new(Kind::Services, "n"));
    }

    trait Unfielded {
        fn unfielded(self) -> Self;
    }

    impl Unfielded for Config {
        fn unfielded(mut self) -> Self {
            self.field_selector = None;
            self
        }
    }
}
