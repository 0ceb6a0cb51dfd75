//! Calls about policies.

use std::net::IpAddr;

use cairn_net::Prefix;

use super::{Client, ClientError, Stream};
use crate::config::FilterChain;
use crate::convert::address_bytes;
use crate::policy::{Direction, Explanation, SessionPolicy, TestPage};
use crate::proto;

/// The pages of [`Client::test_policy`].
pub type TestStream = Stream<proto::TestPolicyResponse, TestPage>;

fn direction(direction: Option<Direction>) -> i32 {
    direction.map_or(proto::PolicyDirection::Unspecified, Into::into).into()
}

impl Client {
    /// The statements of policies with their counts: of one neighbour or all, one direction or both.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn policies(
        &mut self,
        peer: Option<IpAddr>,
        way: Option<Direction>,
    ) -> Result<Vec<SessionPolicy>, ClientError> {
        let request = proto::ListPoliciesRequest {
            peer: peer.map(address_bytes).unwrap_or_default(),
            direction: direction(way),
        };
        let answer = self.inner.list_policies(request).await?.into_inner();
        Ok(answer.policies.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Sets those counts to zero.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reset_policy_counters(
        &mut self,
        peer: Option<IpAddr>,
        way: Option<Direction>,
    ) -> Result<(), ClientError> {
        let request = proto::ResetPolicyCountersRequest {
            peer: peer.map(address_bytes).unwrap_or_default(),
            direction: direction(way),
        };
        self.inner.reset_policy_counters(request).await?;
        Ok(())
    }

    /// What a neighbour's policy makes of the routes to a prefix.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn explain_policy(
        &mut self,
        peer: IpAddr,
        way: Direction,
        prefix: Prefix,
    ) -> Result<Vec<Explanation>, ClientError> {
        let request = proto::ExplainPolicyRequest {
            peer: address_bytes(peer),
            direction: direction(Some(way)),
            prefix: Some(prefix.into()),
        };
        let answer = self.inner.explain_policy(request).await?.into_inner();
        Ok(answer.explanations.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// What a candidate would change for a neighbour: a document's filters, in this order.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn test_policy(
        &mut self,
        document: String,
        filters: &FilterChain,
        peer: IpAddr,
        way: Direction,
    ) -> Result<TestStream, ClientError> {
        let request = proto::TestPolicyRequest {
            document,
            filters: filters.0.iter().map(ToString::to_string).collect(),
            peer: address_bytes(peer),
            direction: direction(Some(way)),
        };
        Ok(Stream::new(self.inner.test_policy(request).await?.into_inner()))
    }
}
