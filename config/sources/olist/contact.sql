-- The moments of truth of an order, each as far as the files date it. Nothing is put in order: a few orders were handed
-- to the carrier before their payment was approved, and some surveys were sent before the delivery.
with

-- The vertical of an order: see journey.sql.
dearest as (
    select order_id, product_id
    from items
    qualify row_number() over (
        partition by order_id
        order by price::decimal(12, 2) desc, order_item_id::integer
    ) = 1
),

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
),

moment as (
    select order_id, order_id || ':placed' as id, 'order placed' as touchpoint, 'in' as direction,
        order_purchase_timestamp as occurred_at
    from orders
    union all
    select order_id, order_id || ':approved', 'payment approved', 'out', order_approved_at
    from orders
    union all
    select order_id, order_id || ':handed', 'handed to carrier', 'out', order_delivered_carrier_date
    from orders
    union all
    select order_id, order_id || ':delivered', 'delivered', 'out', order_delivered_customer_date
    from orders
    union all
    -- A review's id repeats across orders: only together with the order it is one review.
    select order_id, review_id || ':' || order_id || ':sent', 'survey sent', 'out', review_creation_date
    from reviews
    union all
    select order_id, review_id || ':' || order_id || ':answered', 'survey answered', 'in', review_answer_timestamp
    from reviews
)

select
    moment.id,
    customers.customer_unique_id as account_id,
    customers.customer_unique_id as person_id,
    moment.order_id as journey_id,
    moment.touchpoint,
    moment.direction,
    moment.occurred_at,
    segment.vertical as vertical,
    segment.category as product,
    customers.customer_state as region
from moment
left join orders using (order_id)
left join customers using (customer_id)
left join segment using (order_id)
-- What has no stamp did not happen, or nobody wrote when. An order always has its purchase.
where moment.occurred_at is not null or moment.touchpoint = 'order placed'
