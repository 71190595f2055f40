# frozen_string_literal: true

def thing
  "thing"
end
