# frozen_string_literal: true

# JSON without a database: what Rails itself costs.
class ApiController < ActionController::API
  ITEMS = Array.new(14) do |n|
    { id: n, name: "Item number #{n}", price: (n * 199) % 1000, tags: %w[red green blue].rotate(n), stock: n * 7 }
  end.freeze

  def index
    render json: { page: Integer(params.fetch(:page, "1")), items: ITEMS }
  end

  def show
    render json: ITEMS.fetch(Integer(params.fetch(:id)) % ITEMS.size)
  end
end
