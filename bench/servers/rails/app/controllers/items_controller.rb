# frozen_string_literal: true

# A page: a query, a layout, a template with a partial for each row.
class ItemsController < ActionController::Base
  layout "application"

  def index
    @items = Item.dear.limit(20)
  end
end
