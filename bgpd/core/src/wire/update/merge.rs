use cairn_net::Asn;

use crate::wire::attribute::{Aggregator, AsPath, Attributes};

/// What came in AS4_PATH and AS4_AGGREGATOR from a speaker of two-octet AS numbers (RFC 6793 section 4.2.3).
#[derive(Debug, Default)]
pub(super) struct FourOctet {
    pub(super) path: Option<AsPath>,
    pub(super) aggregator: Option<Aggregator>,
}

impl FourOctet {
    /// Puts the wide numbers where AS_TRANS stands.
    pub(super) fn merge_into(&mut self, attributes: &mut Attributes) {
        if let (Some(aggregator), Some(wide)) = (&mut attributes.aggregator, self.aggregator) {
            if aggregator.asn != Asn::TRANS {
                // Someone in between aggregated anew and did not know the two attributes: they are out of date.
                return;
            }
            *aggregator = wide;
        }
        if let Some(path) = self.path.take() {
            attributes.as_path = attributes.as_path.merged_with(&path);
        }
    }
}
