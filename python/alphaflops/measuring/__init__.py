"""Time this processor: shapes (sampling), one by one (campaign), whole networks (validation)."""
