//! The calls about policies.

use bgpd_api::config::{FilterChain, Name, load_policies};
use bgpd_api::convert;
use bgpd_api::policy::{Direction, TestPage};
use bgpd_api::proto;
use bgpd_policy::Compiled;
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::{Answers, Service, refused, request, stopped};
use crate::daemon::TestCursor;

/// Pages of a test that wait for a slow reader at most.
const PAGES: usize = 2;
/// Filters in a candidate, as in a document.
const MAX_CHAIN: usize = 16;

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A candidate, checked as far as that goes without a daemon.
struct Candidate {
    policies: bgpd_api::config::Policies,
    chain: FilterChain,
}

fn candidate(document: &str, filters: &[String]) -> Result<Candidate, Status> {
    let policies = load_policies(document, "candidate").map_err(invalid)?;
    if !(1..=MAX_CHAIN).contains(&filters.len()) {
        return Err(invalid(format!("filters: {} filters: must be 1 to {MAX_CHAIN}", filters.len())));
    }
    let names: Result<Vec<Name>, _> = filters.iter().map(|name| name.parse()).collect();
    let names = names.map_err(|error| invalid(format!("filters: {error}")))?;
    let built_in = |name: &Name| matches!(name.as_str(), "accept-all" | "reject-all");
    if let Some(name) = names.iter().find(|name| !policies.filters.contains_key(name) && !built_in(name)) {
        let known = policies.filters.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
        return Err(invalid(format!(
            "filters: {name}: no such filter is in the document; there are: {known}"
        )));
    }
    Ok(Candidate { policies, chain: FilterChain(names) })
}

impl Service {
    pub(super) async fn list_policies_call(
        &self,
        request: &proto::ListPoliciesRequest,
    ) -> Result<Response<proto::ListPoliciesResponse>, Status> {
        let peer = request::optional_peer(&request.peer)?;
        let way = Direction::from_request(request.direction).map_err(invalid)?;
        let found = self.daemon.call(move |daemon| daemon.policies(peer, way)).await.map_err(stopped)?;
        let policies = found.map_err(refused)?.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListPoliciesResponse { policies }))
    }

    pub(super) async fn reset_policy_counters_call(
        &self,
        request: &proto::ResetPolicyCountersRequest,
    ) -> Result<Response<proto::ResetPolicyCountersResponse>, Status> {
        let peer = request::optional_peer(&request.peer)?;
        let way = Direction::from_request(request.direction).map_err(invalid)?;
        let done = self.daemon.call(move |daemon| daemon.reset_policy_counters(peer, way)).await;
        done.map_err(stopped)?.map_err(refused)?;
        Ok(Response::new(Default::default()))
    }

    pub(super) async fn explain_policy_call(
        &self,
        request: &proto::ExplainPolicyRequest,
    ) -> Result<Response<proto::ExplainPolicyResponse>, Status> {
        let peer = request::peer(&request.peer)?;
        let way = Direction::required(request.direction).map_err(invalid)?;
        let prefix = convert::prefix(request.prefix.as_ref()).map_err(invalid)?;
        let found = self.daemon.call(move |daemon| daemon.explain_policy(peer, way, prefix)).await;
        let found = found.map_err(stopped)?.map_err(refused)?;
        let explanations = found.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ExplainPolicyResponse { explanations }))
    }

    pub(super) async fn test_policy_call(
        &self,
        request: &proto::TestPolicyRequest,
    ) -> Result<Response<Answers<proto::TestPolicyResponse>>, Status> {
        let peer = request::peer(&request.peer)?;
        let way = Direction::required(request.direction).map_err(invalid)?;
        let Candidate { policies, chain } = candidate(&request.document, &request.filters)?;
        let local_as =
            self.daemon.call(|daemon| daemon.local_as()).await.map_err(stopped)?.map_err(refused)?;
        let policy = Compiled::new(&policies, policies.local_as.unwrap_or(local_as)).chain(&chain);
        let (sender, receiver) = mpsc::channel(PAGES);
        let daemon = self.daemon.clone();
        // Page by page, each in a turn of the daemon's own, as fast as the reader takes them.
        tokio::spawn(async move {
            let mut sums = TestPage::default();
            let mut next = Some(TestCursor::default());
            while let Some(from) = next {
                let policy = policy.clone();
                let page = daemon.call(move |daemon| daemon.test_policy(peer, way, &policy, from)).await;
                let answer = match page {
                    Err(error) => Err(stopped(error)),
                    Ok(Err(error)) => Err(refused(error)),
                    Ok(Ok((page, after))) => {
                        next = after;
                        sums.add(&page);
                        let worth_a_message = !page.differences.is_empty() || next.is_none();
                        if !worth_a_message && !sender.is_closed() {
                            continue;
                        }
                        Ok(TestPage { differences: page.differences, ..sums.clone() }.into())
                    }
                };
                let over = answer.is_err();
                if sender.send(answer).await.is_err() || over {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }
}
