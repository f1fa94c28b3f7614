-- What Revio has said it took, for each purchase and payout.

CREATE TABLE fee_totals (
    subject text PRIMARY KEY,
    currency text NOT NULL,
    -- Distinct totals in the order they were told; the last one is what the ledger holds.
    totals numeric[] NOT NULL CHECK (
        cardinality(totals) > 0 AND 0 <= ALL (totals) AND NOT 'NaN' = ANY (totals)),
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE fee_totals IS
    'Which totals of fees were told for a purchase or payout: each is booked once.';

-- A total that was told stays told, whoever writes.
CREATE TRIGGER fee_totals_only_grow BEFORE UPDATE ON fee_totals
    FOR EACH ROW WHEN (
        (OLD.subject, OLD.currency) IS DISTINCT FROM (NEW.subject, NEW.currency)
        OR NEW.totals[:cardinality(OLD.totals)] IS DISTINCT FROM OLD.totals
    ) EXECUTE FUNCTION forbid_change();
CREATE TRIGGER fee_totals_are_never_removed BEFORE DELETE OR TRUNCATE ON fee_totals
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

GRANT SELECT, INSERT, UPDATE (totals, changed_at) ON fee_totals TO wallet;
