-- The person and the account are the same (see account.sql).
select distinct
    customer_unique_id as person_id,
    customer_unique_id as account_id
from customers
