//! Numbers of `nf_tables.h` and `nfnetlink.h`.

/// `NFNL_SUBSYS_NFTABLES`.
pub(super) const SUBSYSTEM: u16 = 10;

/// Message types of the subsystem (`enum nf_tables_msg_types`), and the two that frame a transaction.
pub(super) mod message {
    use super::SUBSYSTEM;

    pub(in super::super) const BATCH_BEGIN: u16 = 16;
    pub(in super::super) const BATCH_END: u16 = 17;
    pub(in super::super) const NEW_TABLE: u16 = SUBSYSTEM << 8;
    pub(in super::super) const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
    pub(in super::super) const DEL_TABLE: u16 = SUBSYSTEM << 8 | 2;
    pub(in super::super) const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
    pub(in super::super) const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
    pub(in super::super) const DEL_CHAIN: u16 = SUBSYSTEM << 8 | 5;
    pub(in super::super) const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
    pub(in super::super) const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
    pub(in super::super) const DEL_RULE: u16 = SUBSYSTEM << 8 | 8;
    pub(in super::super) const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
    pub(in super::super) const GET_SET: u16 = SUBSYSTEM << 8 | 10;
    pub(in super::super) const DEL_SET: u16 = SUBSYSTEM << 8 | 11;
    pub(in super::super) const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
    pub(in super::super) const GET_ELEMENT: u16 = SUBSYSTEM << 8 | 13;
    pub(in super::super) const DEL_ELEMENT: u16 = SUBSYSTEM << 8 | 14;
    pub(in super::super) const NEW_GENERATION: u16 = SUBSYSTEM << 8 | 15;
    pub(in super::super) const GET_GENERATION: u16 = SUBSYSTEM << 8 | 16;
    pub(in super::super) const NEW_FLOWTABLE: u16 = SUBSYSTEM << 8 | 22;
    pub(in super::super) const GET_FLOWTABLE: u16 = SUBSYSTEM << 8 | 23;
    pub(in super::super) const DEL_FLOWTABLE: u16 = SUBSYSTEM << 8 | 24;
    /// Since Linux 6.3.
    pub(in super::super) const DESTROY_CHAIN: u16 = SUBSYSTEM << 8 | 27;
}

/// Flags of requests: `NLM_F_CREATE`, `NLM_F_APPEND`.
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

/// `NFTA_LIST_ELEM`.
pub(super) const LIST_ELEMENT: u16 = 1;

/// `enum nft_table_attributes`.
pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
}

/// `enum nft_chain_attributes`, `enum nft_hook_attributes`.
pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const TYPE: u16 = 7;
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    pub(in super::super) const HOOK_DEVICE: u16 = 3;
}

/// `enum nft_flowtable_attributes`, `enum nft_flowtable_hook_attributes`, `enum nft_devices_attributes`.
pub(super) mod flowtable {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const HOOK: u16 = 3;
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    pub(in super::super) const HOOK_DEVICES: u16 = 3;
    pub(in super::super) const DEVICE_NAME: u16 = 1;
}

/// `enum nft_rule_attributes`, `enum nft_expr_attributes`; the userdata format is that of libnftnl.
pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const USERDATA: u16 = 7;
    pub(in super::super) const EXPRESSION_NAME: u16 = 1;
    pub(in super::super) const EXPRESSION_DATA: u16 = 2;
    /// `NFTNL_UDATA_RULE_COMMENT`.
    pub(in super::super) const COMMENT: u8 = 0;
}

/// `enum nft_set_attributes`, `enum nft_set_desc_attributes`, `enum nft_set_flags`.
pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LEN: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LEN: u16 = 7;
    pub(in super::super) const DESCRIPTION: u16 = 9;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const USERDATA: u16 = 13;
    pub(in super::super) const EXPRESSION: u16 = 17;
    pub(in super::super) const DESCRIPTION_CONCAT: u16 = 2;
    pub(in super::super) const FIELD_LEN: u16 = 1;
    pub(in super::super) const FLAG_INTERVAL: u32 = 0x4;
    pub(in super::super) const FLAG_MAP: u32 = 0x8;
    pub(in super::super) const FLAG_CONCAT: u32 = 0x80;
}

/// `enum nft_set_elem_list_attributes`, `enum nft_set_elem_attributes`, `enum nft_set_elem_flags`.
pub(super) mod element {
    pub(in super::super) const LIST_TABLE: u16 = 1;
    pub(in super::super) const LIST_SET: u16 = 2;
    pub(in super::super) const LIST_ELEMENTS: u16 = 3;
    pub(in super::super) const KEY: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const EXPRESSION: u16 = 7;
    pub(in super::super) const KEY_END: u16 = 10;
    pub(in super::super) const FLAG_INTERVAL_END: u32 = 1;
}

/// `enum nft_limit_attributes`.
pub(super) mod limit {
    pub(in super::super) const RATE: u16 = 1;
    pub(in super::super) const UNIT: u16 = 2;
    pub(in super::super) const BURST: u16 = 3;
    pub(in super::super) const TYPE: u16 = 4;
    pub(in super::super) const FLAGS: u16 = 5;
    /// `NFT_LIMIT_PKT_BYTES`.
    pub(in super::super) const BYTES: u32 = 1;
    /// `NFT_LIMIT_F_INV`.
    pub(in super::super) const FLAG_OVER: u32 = 1;
}

/// `enum nft_data_attributes`, `enum nft_verdict_attributes`.
pub(super) mod data {
    pub(in super::super) const VALUE: u16 = 1;
    pub(in super::super) const VERDICT: u16 = 2;
    pub(in super::super) const VERDICT_CODE: u16 = 1;
    pub(in super::super) const VERDICT_CHAIN: u16 = 2;
}
