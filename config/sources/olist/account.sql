-- A consumer market: the customer is the account. `customer_id` is made anew for each order; the one who comes back is
-- `customer_unique_id`. The files hold no names, so an account is called by the start of its id.
-- `since` stays empty: the first order in an extract is not when somebody became a customer.
select distinct
    customer_unique_id as account_id,
    'Customer ' || left(customer_unique_id, 8) as name
from customers
