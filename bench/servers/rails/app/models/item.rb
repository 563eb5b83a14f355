# frozen_string_literal: true

class Item < ActiveRecord::Base
  scope :dear, -> { where("price > ?", 500).order(:name) }
end
