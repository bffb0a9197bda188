-- name: AddCustomer :execlastid
-- AddCustomer adds a customer and returns the id.
INSERT INTO customers (email, name) VALUES (sqlc.arg('email'), sqlc.narg('name'));

-- name: GetCustomer :one
SELECT * FROM customers WHERE email = ?;

-- name: ListCustomers :many
/* No parameter. */
SELECT * FROM customers ORDER BY id;

-- name: FindCustomers :many
-- FindCustomers returns the customers with the given ids, of all names or of one.
SELECT * FROM customers WHERE (name = sqlc.narg('name') OR sqlc.narg('name') IS NULL) AND id IN (sqlc.slice('ids')) ORDER BY id;

-- name: RenameCustomer :exec
UPDATE customers SET name = sqlc.arg('name') WHERE email = sqlc.arg('email');

-- name: AddOrder :one
INSERT INTO orders (customer_id, pool, cents) VALUES (?, ?, ?) RETURNING *;

-- name: ListOrders :many
-- ListOrders returns orders with their customers, in one pool; its parameter is
-- called like a package that the repository imports.
SELECT sqlc.embed(customers), sqlc.embed(orders) FROM orders JOIN customers ON customers.id = orders.customer_id
WHERE orders.pool = sqlc.arg('pool') ORDER BY orders.id;

-- name: Raise :execrows
-- Raise makes every order dearer.
UPDATE orders SET cents = cents + ?;

-- name: DropOrders :execresult
-- DropOrders deletes the orders below a price.
DELETE FROM orders WHERE cents < ?;

-- name: Totals :many
-- Totals reads through a common table expression.
WITH sums AS (SELECT customer_id, sum(cents) AS cents FROM orders GROUP BY customer_id)
SELECT customers.email, CAST(sums.cents AS INTEGER) AS cents FROM sums JOIN customers ON customers.id = sums.customer_id ORDER BY customers.email;

-- name: Touch :exec
-- Touch reads, and returns nothing.
SELECT count(*) FROM customers;
