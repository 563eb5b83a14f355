# frozen_string_literal: true

require_relative "application"

Rails.application.initialize!

connection = ActiveRecord::Base.connection
unless connection.table_exists?(:items)
  connection.create_table(:items) do |table|
    table.string :name, null: false
    table.integer :price, null: false
    table.text :description
  end
  Item.transaction do
    200.times { |n| Item.create!(name: "Item number #{n}", price: (n * 199) % 1000, description: "Words. " * 20) }
  end
end
# Workers make connections of their own.
ActiveRecord::Base.connection_handler.clear_all_connections!
