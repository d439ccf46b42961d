-- One order, from purchase to delivery.
with

-- An order may hold lines of several verticals: the dearest line decides, and of equally dear ones the first.
dearest as (
    select order_id, product_id
    from items
    qualify row_number() over (
        partition by order_id
        order by price::decimal(12, 2) desc, order_item_id::integer
    ) = 1
),

-- Some categories were never translated (pc_gamer); the vertical map knows those by their own name.
-- Orders without lines and products without a category end up without a vertical: "unknown".
segment as (
    select
        dearest.order_id,
        coalesce(translation.product_category_name_english, products.product_category_name) as category,
        verticals.vertical_group as vertical
    from dearest
    left join products using (product_id)
    left join translation using (product_category_name)
    left join verticals
        on verticals.category_english = coalesce(translation.product_category_name_english, products.product_category_name)
)

select
    orders.order_id as id,
    customers.customer_unique_id as account_id,
    'order' as journey_type,
    'goods received' as goal,
    orders.order_purchase_timestamp as started_at,
    -- Midnight at the start of the promised day, compared as a timestamp: goods that come during that day are late.
    orders.order_estimated_delivery_date as promised_at,
    -- Only a delivery has a date. A few orders are called delivered and have none, and nothing says when an order was
    -- cancelled or found unavailable: those have no end that could be dated, and none is made up.
    orders.order_delivered_customer_date as ended_at,
    case
        -- Goods that arrived have reached their goal, even where the order was cancelled on some later, unknown day.
        when orders.order_delivered_customer_date is not null then 'reached'
        -- Finished, but nobody wrote when: an outcome is known from its end on, so it can't be stated.
        when orders.order_status in ('delivered', 'canceled', 'unavailable') then null
        else 'open'
    end as outcome,
    segment.vertical as vertical,
    segment.category as product,
    customers.customer_state as region
from orders
left join customers using (customer_id)
left join segment using (order_id)
