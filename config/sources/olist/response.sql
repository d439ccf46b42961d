-- The review of an order: five stars for the whole order, so it is about the journey and no touchpoint.
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
)

select
    -- A review's id repeats across orders, and an order may have several reviews: the key is both.
    reviews.review_id || ':' || reviews.order_id as id,
    customers.customer_unique_id as account_id,
    customers.customer_unique_id as person_id,
    reviews.order_id as journey_id,
    'order review' as instrument,
    'transaction' as kind,
    case when reviews.review_answer_timestamp is null then 'invited' else 'answered' end as status,
    'csat' as scale, -- one to five stars
    reviews.review_score as score,
    -- Title and text are one comment. Mail addresses and long numbers are masked by the load.
    nullif(concat_ws(E'\n', reviews.review_comment_title, reviews.review_comment_message), '') as comment,
    -- The day the survey was sent, mostly as its midnight. Some were sent before the delivery, and they are kept.
    reviews.review_creation_date as invited_at,
    reviews.review_answer_timestamp as responded_at,
    segment.vertical as vertical,
    segment.category as product,
    customers.customer_state as region
from reviews
left join orders using (order_id)
left join customers using (customer_id)
left join segment using (order_id)
