//! The kinds of objects: where they live, how their ids look, what lists filter by, what updates may change.

pub(super) struct Resource {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) prefix: &'static str,
    /// Letters after the prefix.
    pub(super) id_length: usize,
    pub(super) filters: &'static [&'static str],
    /// Empty: such an object cannot be updated.
    pub(super) updates: &'static [&'static str],
    pub(super) searchable: bool,
}

pub(super) fn by_path(path: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.path == path)
}

const fn resource(path: &'static str, kind: &'static str, prefix: &'static str, id_length: usize) -> Resource {
    Resource { path, kind, prefix, id_length, filters: &[], updates: &[], searchable: false }
}

pub(super) const RESOURCES: &[Resource] = &[
    Resource {
        filters: &["currency", "payout", "source", "type"],
        ..resource("balance_transactions", "balance_transaction", "txn_3", 23)
    },
    Resource {
        filters: &["customer", "payment_intent", "transfer_group"],
        updates: &[
            "customer",
            "description",
            "fraud_details",
            "metadata",
            "receipt_email",
            "shipping",
            "transfer_group",
        ],
        searchable: true,
        ..resource("charges", "charge", "ch_3", 23)
    },
    Resource {
        filters: &["customer", "payment_intent", "payment_link", "status", "subscription"],
        updates: &["collected_information", "metadata"],
        ..resource("checkout/sessions", "checkout.session", "cs_test_a1", 56)
    },
    Resource { updates: &["metadata", "name"], ..resource("coupons", "coupon", "", 8) },
    Resource {
        filters: &["email"],
        updates: &[
            "address",
            "balance",
            "default_source",
            "description",
            "email",
            "invoice_prefix",
            "invoice_settings",
            "metadata",
            "name",
            "next_invoice_sequence",
            "phone",
            "preferred_locales",
            "shipping",
            "tax_exempt",
        ],
        searchable: true,
        ..resource("customers", "customer", "cus_", 14)
    },
    Resource {
        filters: &["charge", "payment_intent"],
        updates: &["evidence", "metadata", "submit"],
        ..resource("disputes", "dispute", "du_1", 23)
    },
    Resource { filters: &["type"], ..resource("events", "event", "evt_1", 23) },
    Resource {
        filters: &["customer", "invoice"],
        updates: &["amount", "description", "metadata"],
        ..resource("invoiceitems", "invoiceitem", "ii_1", 23)
    },
    Resource {
        filters: &["collection_method", "customer", "status", "subscription"],
        updates: &[
            "auto_advance",
            "collection_method",
            "custom_fields",
            "days_until_due",
            "default_payment_method",
            "description",
            "due_date",
            "footer",
            "metadata",
            "statement_descriptor",
        ],
        searchable: true,
        ..resource("invoices", "invoice", "in_1", 23)
    },
    Resource {
        filters: &["customer"],
        updates: &[
            "amount",
            "application_fee_amount",
            "capture_method",
            "currency",
            "customer",
            "description",
            "metadata",
            "payment_method",
            "payment_method_options",
            "payment_method_types",
            "receipt_email",
            "setup_future_usage",
            "shipping",
            "statement_descriptor",
            "statement_descriptor_suffix",
            "transfer_group",
        ],
        searchable: true,
        ..resource("payment_intents", "payment_intent", "pi_3", 23)
    },
    Resource {
        filters: &["customer", "type"],
        updates: &["allow_redisplay", "billing_details", "metadata"],
        ..resource("payment_methods", "payment_method", "pm_1", 23)
    },
    Resource {
        filters: &["destination", "status"],
        updates: &["metadata"],
        ..resource("payouts", "payout", "po_1", 23)
    },
    Resource {
        filters: &["active", "currency", "product", "type"],
        updates: &["active", "lookup_key", "metadata", "nickname", "tax_behavior"],
        searchable: true,
        ..resource("prices", "price", "price_1", 23)
    },
    Resource {
        filters: &["active", "url"],
        updates: &[
            "active",
            "default_price",
            "description",
            "images",
            "metadata",
            "name",
            "package_dimensions",
            "shippable",
            "statement_descriptor",
            "tax_code",
            "unit_label",
            "url",
        ],
        searchable: true,
        ..resource("products", "product", "prod_", 14)
    },
    Resource {
        filters: &["charge", "payment_intent"],
        updates: &["metadata"],
        ..resource("refunds", "refund", "re_3", 23)
    },
    Resource {
        filters: &["customer", "payment_method"],
        updates: &["customer", "description", "metadata", "payment_method"],
        ..resource("setup_intents", "setup_intent", "seti_1", 23)
    },
    Resource {
        filters: &["collection_method", "customer", "price", "status"],
        updates: &[
            "cancel_at",
            "cancel_at_period_end",
            "collection_method",
            "days_until_due",
            "default_payment_method",
            "description",
            "items",
            "metadata",
            "pause_collection",
            "payment_behavior",
            "proration_behavior",
            "trial_end",
        ],
        searchable: true,
        ..resource("subscriptions", "subscription", "sub_1", 23)
    },
    Resource {
        updates: &["description", "disabled", "enabled_events", "metadata", "url"],
        ..resource("webhook_endpoints", "webhook_endpoint", "we_1", 23)
    },
];
